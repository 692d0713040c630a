"""Of small target: released."""

import json
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch
from refusals import Malicious
from shared_small_target import close, count, rand, seeded, tiny_set
from torch.nn import functional

from dunfold_lib.__main__ import main
from dunfold_lib.small_target import fast, readers, scores
from dunfold_lib.small_target.fast import compact
from dunfold_lib.small_target.model import LRPCANet, RPCANet
from dunfold_lib.small_target.released import load_released

# released weights


def released_state(light=True, K=2, c=32, b=4, n_noise=6, prefix="", seed=0, final="final_conv"):
    """Random weights laid out as the released ones, written again from the architecture."""
    g, made = seeded(seed), OrderedDict()

    def put(name, *shape, low=None):
        value = 0.2 * torch.randn(shape, generator=g)
        made[prefix + name] = value.abs() + low if low is not None else value

    def conv(name, out, into, k):
        put(f"{name}.weight", out, into, k, k)
        put(f"{name}.bias", out)

    def norm(name, c):
        for key in ("weight", "bias", "running_mean"):
            put(f"{name}.{key}", c)
        put(f"{name}.running_var", c, low=0.5)
        made[f"{prefix}{name}.num_batches_tracked"] = torch.tensor(7)

    def se(base):
        conv(f"{base}.channel_attention.excitation.0", c // 16, c, 1)
        conv(f"{base}.channel_attention.excitation.2", c, c // 16, 1)

    def chain(base, body, first, width, layers, bn, wide):
        j = 0
        for i in range(layers + 1):
            conv(f"{base}.{body}.{j}", width, width if i else 1, 3 if i else first)
            j += 1
            if bn:
                norm(f"{base}.{body}.{j}", width)
                j += 1
            j += 1  # ReLU
        if wide:
            conv(f"{base}.{body}.{j}", c, width, 3)
            j += 1
        return f"{base}.{body}.{j}"

    for k in range(K):
        base = f"decos.{k}"
        width, first = (b, 1) if light else (c, 3)
        jobs = [
            ("lowrank", "convs", first, width, 3, True),
            ("sparse", "convs", first, width, 6, False),
        ]
        jobs += [("residual", "convs", 3, width, n_noise, False)] if light else []
        jobs += [("merge", "mapping", 3, c, 3, True)]
        for name, body, *rest in jobs:
            wide = light and name != "merge"
            end = chain(f"{base}.{name}", body, *rest, wide)
            if light:
                se(f"{base}.{name}")
            conv(f"{base}.{name}.final_conv" if light and final else end, 1, c, 3)
        put(f"{base}.sparse.epsilon", 1)
        if light:
            put(f"{base}.residual.sigma", 1)
    return made


def reference(w, b, K, light):
    """The networks written again from the paper's equations, on released names."""

    def at(k, name):
        return w[f"decos.{k}.{name}"]

    def has(k, name):
        return f"decos.{k}.{name}" in w

    def F(k, name, v, final):
        body = "mapping" if name == "merge" else "convs"
        js = sorted(
            int(n.split(".")[4])
            for n in w
            if n.startswith(f"decos.{k}.{name}.{body}.") and n.endswith(".weight")
        )
        filters = [j for j in js if at(k, f"{name}.{body}.{j}.weight").ndim == 4]
        if not final:
            *filters, last = filters
        x = v
        for i, j in enumerate(filters):
            p = f"{name}.{body}.{j}"
            weight = at(k, f"{p}.weight")
            x = functional.conv2d(x, weight, at(k, f"{p}.bias"), padding=weight.shape[2] // 2)
            if has(k, f"{name}.{body}.{j + 1}.running_mean"):
                n = f"{name}.{body}.{j + 1}"
                stats = [
                    at(k, f"{n}.{s}") for s in ("running_mean", "running_var", "weight", "bias")
                ]
                x = functional.batch_norm(x, *stats)
            widening = light and name != "merge" and i == len(filters) - 1
            x = x if widening else x.relu()
        if light:
            s, e = x.mean((2, 3), keepdim=True), f"{name}.channel_attention.excitation"
            s = functional.conv2d(s, at(k, f"{e}.0.weight"), at(k, f"{e}.0.bias")).relu()
            s = functional.conv2d(s, at(k, f"{e}.2.weight"), at(k, f"{e}.2.bias")).sigmoid()
            x = x * s
        p = f"{name}.final_conv" if final else f"{name}.{body}.{last}"
        return functional.conv2d(x, at(k, f"{p}.weight"), at(k, f"{p}.bias"), padding=1)

    D, T = b, torch.zeros_like(b)
    for k in range(K):
        final = has(k, "lowrank.final_conv.weight")
        v = D - T
        B = v + F(k, "lowrank", v, final)
        v = T + D - B
        T = v - at(k, "sparse.epsilon") * F(k, "sparse", v, final)
        N = 0
        if light:
            v = D - B - T
            N = v - at(k, "residual.sigma") * F(k, "residual", v, final)
        D = F(k, "merge", B + T + N, final)
    return T


LAYOUTS = {
    "L-RPCANet": {},
    "with prefix": {"prefix": "module."},
    "one stage": {"K": 1},
    "NUDT's": {"b": 16, "K": 1},
    "IRSTD-1k's": {"b": 16, "n_noise": 3, "K": 1},
    "RPCANet": {"light": False, "K": 2, "c": 6},
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_released_weights_are_the_equations(layout):
    w = released_state(**layout)
    net = load_released(w)
    plain = {k.removeprefix(layout.get("prefix", "")): v for k, v in w.items()}
    K, light = layout.get("K", 2), layout.get("light", True)
    assert net.K == K
    assert isinstance(net, LRPCANet if light else RPCANet)
    b = rand(1, 1, 20, 18).float()
    with torch.no_grad():
        expected = reference(plain, b, K, light)
        tolerance = 1e-4 * max(1.0, float(expected.abs().max()))
        close(net(b), expected, tolerance)
        close(compact(net)(b), expected, tolerance)
    if light:
        assert not net.carry_noise
        assert net.n_noise == layout.get("n_noise", 6)
    held = sum(v.numel() for k, v in w.items() if "running" not in k and "tracked" not in k)
    assert count(net) == held


@pytest.mark.parametrize("wrap", ["state_dict", "net", None])
@pytest.mark.parametrize("name", ["a.pkl", "a.pth.tar", "a.npz"])
def test_released_files_and_their_wrappers_are_read(wrap, name, tmp_path):
    w, path = released_state(K=1), tmp_path / name
    if name.endswith("npz"):
        np.savez(path, **{k: v.numpy() for k, v in w.items()})
    else:
        torch.save({wrap: w, "epoch": 3} if wrap else w, path)
    b = rand(1, 1, 9, 9).float()
    with torch.no_grad():
        assert torch.equal(load_released(path)(b), load_released(w)(b))


def test_a_pickle_with_code_in_it_is_refused_and_not_run(tmp_path):
    trace = tmp_path / "trace"
    held = OrderedDict(released_state(K=1) | {"extra": Malicious(trace)})
    torch.save(held, tmp_path / "a.pkl")
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(held))
    for name in ("a.pkl", "plain.pkl"):
        with pytest.raises(ValueError, match="holds no state dict that can be read safely"):
            load_released(tmp_path / name)
        assert not trace.exists()


def test_evaluate_measures_released_weights_on_a_readers_folder(tmp_path, capsys):
    root = tiny_set(tmp_path / "mine", "sirst")
    torch.save(released_state(K=1, b=2, n_noise=1), tmp_path / "w.pkl")
    torch.save(released_state(light=False, K=1, c=2), tmp_path / "r.pkl")
    for name, file in (("lrpcanet", "w.pkl"), ("rpcanet", "r.pkl")):
        line = (
            f"evaluate small_target/{name}-sirst --released {tmp_path / file} --data {root} --json"
        )
        assert main(line.split()) == 0
        made = json.loads(capsys.readouterr().out)
        frames = readers.read_folder(root)
        assert frames.image.shape[2:] == (256, 256)
        net = load_released(tmp_path / file)
        expected = scores.scores(fast.predicted(net, frames), frames.mask)
        assert {k: made["scores"][k] for k in expected} == pytest.approx(expected)
        assert str(root) in made["protocol"]
        assert made["parameters"] == count(net)
