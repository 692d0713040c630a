"""Bad input at every public door: a small sample of ``tools/fuzz.py``, and that it can fail."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from dunfold_lib import checks
from dunfold_lib.operators import Matrix

TOOLS = Path(__file__).resolve().parents[1] / "tools"


def load(name):
    sys.path.insert(0, str(TOOLS))
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


fuzz = load("fuzz")


def door(call, **made):
    return fuzz.Door("x", tuple(made), lambda: dict(made), lambda g: call(**g), frozenset())


def kind(call, name, label, **made):
    (value,) = [v for k, v in fuzz.hostile(made[name]) if k == label]
    return fuzz.run(door(call, **made), {name: (label, value)}).kind


def test_a_sample_of_bad_input_is_refused_in_one_line_or_answered():
    said = []
    for where, changed in fuzz.chosen(480, 20):
        found = fuzz.run(where, changed)
        if found.kind in ("foreign", "silent", "unfair"):
            said.append(f"{where.name}({fuzz.said(changed)}): {found}")
    assert said == []


def test_no_door_is_passed_over():
    assert fuzz.unknown() == []
    names = {door.name for door in fuzz.doors()} | fuzz.good.INTERNAL
    for room in fuzz.good.ROOMS:
        exported = importlib.import_module(f"dunfold_lib.{room}")
        for thing in (getattr(exported, name) for name in exported.__all__):
            if callable(thing) and not hasattr(thing, "_fields"):
                name = f"{thing.__module__.removeprefix('dunfold_lib.')}.{thing.__name__}"
                assert any(f"{known}.".startswith(f"{name}.") for known in names), name


A, b, x = Matrix(torch.ones(2, 3)), torch.rand(4, 2), torch.rand(4, 3)


def bare(A, b, x):
    return 0.5 * (A(x) - b).square().sum(1)


def test_the_generator_finds_what_broadcasts_and_what_is_foreign():
    assert kind(bare, "b", "shape [0]=1", A=A, b=b, x=x) == "silent"
    assert kind(bare, "b", "shape [1]=1", A=A, b=b, x=x) == "silent"
    assert kind(bare, "b", "shape scalar", A=A, b=b, x=x) == "silent"
    assert kind(bare, "b", "None", A=A, b=b, x=x) == "foreign"
    assert kind(lambda b: float(b.nan_to_num().sum()), "b", "nan", b=b) == "silent"
    assert kind(lambda b: b.mul_(2), "b", "zeros", b=b + 1) in ("silent", "fine")
    assert kind(lambda b: b.sub_(1), "b", "ones", b=b) == "silent"


def test_the_generator_finds_what_is_unfair():
    @checks.door
    def strict(t: float) -> float:
        if t == 0.5:
            return t
        raise ValueError("t must be 0.5")

    def picky(t):
        if type(t) is not float:
            raise checks_error
        return t

    checks_error = ValueError("t must be a float")
    assert kind(strict, "t", "=np.float64", t=0.5) == "fine"
    assert kind(lambda t: t if type(t) is float else 2 * t, "t", "=np.float64", t=0.5) == "unfair"
    assert kind(picky, "t", "=np.float64", t=0.5) == "foreign"  # not raised by the library


def test_a_fault_of_our_own_code_is_not_told_as_the_callers():
    @checks.door
    def broken(x: torch.Tensor, how: str) -> torch.Tensor:
        faults = {
            "name": lambda: nothing_of_this_name,  # noqa: F821
            "attribute": lambda: x.no_such_attribute,
            "key": lambda: {}["key"],
            "torch": lambda: x @ torch.ones(7),
        }
        return faults[how]()

    for how, error in (("name", NameError), ("attribute", AttributeError), ("key", KeyError)):
        with pytest.raises(error) as caught:
            broken(torch.ones(3), how)
        assert caught.value.__cause__ is None
        assert fuzz.run(door(broken, x=b, how=how), {}).kind == "foreign"
    with pytest.raises(
        ValueError, match=r"broken failed inside on x \(3,\), how 'torch': .*"
    ) as caught:
        broken(torch.ones(3), "torch")
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert "(RuntimeError" in str(caught.value)


@pytest.mark.parametrize("label", ["shape [0]=1", "shape [1]=1", "shape scalar"])
def test_the_review_s_own_cases_are_refused(label):
    from dunfold_lib.sparse import duality_gap, ista_step, objective

    for f, more in ((objective, {}), (duality_gap, {}), (ista_step, {"L": 9.0})):
        made = {"A": A, "b": b, "lam": 0.1, "x": x, **more}
        assert kind(f, "b", label, **made) == "refused"


def test_a_door_takes_numpys_numbers_and_tells_torchs_errors_in_one_line():
    @checks.door
    def f(x: torch.Tensor, k: int, t: float = 1.0) -> torch.Tensor:
        assert type(k) is int
        assert type(t) in (int, float)
        return x[k] @ torch.ones(2)

    import numpy as np

    f(torch.ones(3, 2), np.int64(1), np.float32(2))
    with pytest.raises(TypeError, match=r"^k is 1.0; it must be a whole number$"):
        f(torch.ones(3, 2), 1.0)
    with pytest.raises(ValueError, match=r"f failed inside on x \(3, 5\), k 1: .*"):
        f(torch.ones(3, 5), 1)


@pytest.mark.parametrize("more", [[], ["--all"]])
def test_doors_that_do_not_exist_are_said_in_one_line(more, capsys):
    with pytest.raises(SystemExit):
        fuzz.main(["5", "--only", "nothing", *more])
    assert "'nothing'" in capsys.readouterr().err.splitlines()[-1]
