"""Downloads, checked and gone on with, and the weights that an installed package lacks."""

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

import dunfold_lib as df
from dunfold_lib import download, experiment, inference, records
from dunfold_lib.__main__ import main

CONTENT = bytes(range(256)) * 2000
SHA = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Gives ``content`` at every path but /gone; ``breaks`` says after how many bytes each answer
    ends, and ``ranges`` whether it goes on where it is asked to."""

    content, ranges = CONTENT, True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.breaks: list[int] = []
        self.asked: list[tuple[str, str | None]] = []

    def at(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        given = self.headers.get("Range")
        self.server.asked.append((self.path, given))
        if self.path == "/gone":
            self.send_error(404)
            return
        begin = int(given.removeprefix("bytes=").rstrip("-")) if given else 0
        begin *= self.server.ranges
        whole = self.server.content
        if begin >= len(whole):
            self.send_error(416)
            return
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(whole) - 1}/{len(whole)}")
        self.send_header("Content-Length", str(len(whole) - begin))
        self.end_headers()
        most = self.server.breaks.pop(0) if self.server.breaks else len(whole)
        self.wfile.write(whole[begin : begin + most])

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def got(server: Server, tmp_path: Path, path: str = "/a", sha: str = SHA) -> Path:
    return download.file(server.at(path), sha, len(CONTENT), tmp_path / "deep" / "a")


def left(tmp_path: Path) -> list[int]:
    """The sizes of what is in the folder."""
    return [p.stat().st_size for p in sorted(tmp_path.glob("deep/*"))]


def test_a_file_comes_once_and_comes_again_where_it_was_damaged(server, tmp_path):
    path = got(server, tmp_path)
    assert path.read_bytes() == CONTENT
    assert got(server, tmp_path) == path
    assert len(server.asked) == 1
    path.write_bytes(CONTENT[:-1] + b"x")
    assert got(server, tmp_path).read_bytes() == CONTENT
    assert len(server.asked) == 2
    assert left(tmp_path) == [len(CONTENT)]


def test_what_breaks_off_goes_on_where_it_stopped(server, tmp_path):
    server.breaks = [1000, 5000]
    assert got(server, tmp_path).read_bytes() == CONTENT
    assert [r for _, r in server.asked] == [None, "bytes=1000-", "bytes=6000-"]


def test_what_breaks_off_three_times_is_told_and_the_next_call_goes_on(server, tmp_path):
    server.breaks = [1000] * 3
    with pytest.raises(
        ValueError, match=r"3000 of 512000 bytes came \(.*\); the same call"
    ) as told:
        got(server, tmp_path)
    assert "\n" not in str(told.value)
    assert left(tmp_path) == [3000]
    assert got(server, tmp_path).read_bytes() == CONTENT
    assert server.asked[-1][1] == "bytes=3000-"
    assert left(tmp_path) == [len(CONTENT)]


def test_a_server_that_cannot_go_on_begins_again(server, tmp_path):
    server.ranges, server.breaks = False, [1000]
    assert got(server, tmp_path).read_bytes() == CONTENT


def test_what_was_left_of_another_file_is_not_gone_on_with(server, tmp_path):
    server.breaks = [1000] * 3
    with pytest.raises(ValueError):
        got(server, tmp_path)
    (part,) = (tmp_path / "deep").iterdir()
    part.write_bytes(b"x" * 3000)
    assert got(server, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "content, says",
    [
        (CONTENT[:-1] + b"x", "has the sha256"),
        (CONTENT[:1000], "1000 of 512000 bytes came"),
        (CONTENT + b"more", ""),  # its beginning is the file
        (b"<html>sign in</html>" * 30000, "has the sha256"),
    ],
)
def test_another_content_is_not_kept(server, tmp_path, content, says):
    server.content = content
    if not says:
        assert got(server, tmp_path).read_bytes() == CONTENT
        return
    with pytest.raises(ValueError, match=says) as told:
        got(server, tmp_path)
    assert "\n" not in str(told.value)
    assert not (tmp_path / "deep" / "a").exists()
    server.content = CONTENT
    assert got(server, tmp_path).read_bytes() == CONTENT


def test_no_such_file_and_no_such_server_are_one_line(server, tmp_path):
    with pytest.raises(ValueError, match=r"/gone: cannot be read \(404 Not Found\)$"):
        got(server, tmp_path, "/gone")
    server.shutdown()
    server.server_close()
    with pytest.raises(ValueError, match=r"0 of 512000 bytes came \(.*refused\)"):
        got(server, tmp_path)


@pytest.mark.parametrize(
    "url, sha, size, says",
    [
        ("", SHA, 1, "is no address"),
        ("file:///etc/hosts", SHA, 1, "is no address"),
        ("http://127.0.0.1/a", "", 1, "sha256 is ''; it must be 64 digits"),
        ("http://127.0.0.1/a", SHA[:40], 1, "it must be 64 digits"),
        ("http://127.0.0.1/a", SHA, 0, "size is 0"),
    ],
)
def test_nothing_is_asked_for_without_an_address_a_checksum_and_a_size(url, sha, size, says):
    with pytest.raises(ValueError, match=says):
        download.file(url, sha, size, Path("nowhere/a"))
    assert not Path("nowhere").exists()


def test_an_interrupted_process_leaves_what_the_next_goes_on_with(server, tmp_path):
    code = (
        "import sys; from pathlib import Path; from dunfold_lib import download\n"
        "class Bar:\n"
        "    def __init__(self, **_): ...\n"
        "    def __enter__(self): return self\n"
        "    def __exit__(self, *_): ...\n"
        "    def update(self, n): raise KeyboardInterrupt\n"
        "download.tqdm = Bar\n"
        f"target = Path({str(tmp_path)!r}, 'deep', 'a')\n"
        f"download.file({server.at('/a')!r}, {SHA!r}, {len(CONTENT)}, target)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "KeyboardInterrupt" in done.stderr
    (size,) = left(tmp_path)
    assert 0 < size < len(CONTENT)
    assert got(server, tmp_path).read_bytes() == CONTENT
    assert server.asked[-1][1] == f"bytes={size}-"


# weights

NAME = "sparse/alista"
RUN = f"{NAME}/cpu-s0"


@pytest.fixture
def installed(tmp_path, monkeypatch) -> bytes:
    """The records of one experiment as an installed package has them, without its weights."""
    source, made = records.results_root() / RUN, tmp_path / "results" / RUN
    made.mkdir(parents=True)
    (made / "run.json").write_bytes((source / "run.json").read_bytes())
    about = records.load(source)["weights"]
    (tmp_path / "results/weights.json").write_text(json.dumps({RUN: about}), "utf-8")
    monkeypatch.setattr(records, "results_root", lambda: tmp_path / "results")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(records.ADDRESS, raising=False)
    return (source / "weights.safetensors").read_bytes()


def test_weights_are_downloaded_when_a_network_is_loaded_and_not_before(
    installed, server, monkeypatch, tmp_path
):
    server.content = installed
    monkeypatch.setenv(records.ADDRESS, server.at("/results/"))
    assert [*inference.loadable()] == [NAME]
    assert inference.models()[1][0][2] == "0 ↓"
    assert "is downloaded when" in inference.models()[2]
    assert server.asked == []
    net = df.load(NAME)
    assert server.asked == [(f"/results/{RUN}/weights.safetensors", None)]
    assert net.weights.read_bytes() == installed
    assert net.weights.is_relative_to(tmp_path / "cache")
    again = df.load(NAME)
    assert len(server.asked) == 1
    state = net.net.state_dict()
    assert all(torch.equal(v, state[k]) for k, v in again.net.state_dict().items())


def test_without_an_address_one_line_names_the_command_that_trains_them(
    installed, capsys, tmp_path
):
    command = f"python -m dunfold_lib train {NAME} --recipe cpu --seed 0"
    says = f"DUNFOLD_WEIGHTS is not set; make them: {command}"
    with pytest.raises(ValueError, match=says):
        df.load(NAME)
    assert main(["run", NAME, "b.npy", "x.npy"]) == 2
    assert capsys.readouterr().err.strip().endswith(says)
    assert experiment.first_recorded([NAME], ["cpu"]) == ""


def test_weights_of_another_run_are_refused_with_the_command_that_trains_them(
    installed, server, monkeypatch, capsys
):
    server.content = installed[:-1] + b"x"
    monkeypatch.setenv(records.ADDRESS, server.at(""))
    assert main(["evaluate", NAME]) == 2
    told = capsys.readouterr().err
    assert "has the sha256" in told
    assert told.strip().endswith(f"train {NAME} --recipe cpu --seed 0")
    assert told.count("\n") == 1


def test_weights_of_ones_own_training_take_the_place_of_recorded_ones(installed, tmp_path):
    own = tmp_path / "own.safetensors"
    own.write_bytes(installed)
    net = df.load(NAME, weights=own)
    assert (net.weights, net.why) == (own, "as given")
    with pytest.raises(ValueError, match="choose one network"):
        df.load(NAME, "cpu", weights=own)


@pytest.mark.parametrize(
    "repository, wanted",
    [
        ("https://github.com/OWNER/dunfold", ""),
        ("https://github.com/we/book", f"{records.RAW}/we/book/v0.1.0/results"),
        ("https://elsewhere.org/we/book", ""),
    ],
)
def test_the_address_is_the_repositorys_at_the_packages_version(monkeypatch, repository, wanted):
    class About(dict[str, str]):
        def get_all(self, _: str) -> list[str]:
            return ["Issues, x", f"Repository, {repository}"]

    monkeypatch.delenv(records.ADDRESS, raising=False)
    monkeypatch.setattr(records.metadata, "metadata", lambda _: About(Version="0.1.0"))
    assert records.address() == wanted
