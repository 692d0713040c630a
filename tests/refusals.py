"""What the tests of bad input share: a refusal in one line, and values to be refused."""

import math
import re
from pathlib import Path

import pytest
import torch

from dunfold_lib.__main__ import main

NAN, INF = math.nan, math.inf


def refused(call, error, says):
    """``call`` raises exactly ``error``, whose message is one line that matches ``says`` whole."""
    with pytest.raises(error, match=f"^{says}$") as caught:
        call()
    assert caught.type is error
    assert "\n" not in str(caught.value)


def cases(*rows):
    """Rows of (given, error, message), named by the message's beginning."""
    names = [re.sub(r"[\\.*]", "", says)[:40] for _, _, says in rows]
    return pytest.mark.parametrize("given, error, says", rows, ids=names)


def ones(*shape, dtype=torch.float64):
    return torch.ones(shape, dtype=dtype)


def spoilt(x, value=NAN):
    """x with its first entry replaced."""
    x = x.clone()
    x.view(-1)[0] = value
    return x


class Malicious:
    """A pickle that, loaded without care, makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def evaluated_in_one_line(command, says, capsys):
    """``evaluate`` refuses a command in one line on stderr that holds ``says``."""
    capsys.readouterr()
    assert main(["evaluate", *command.split()]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.count("\n") == 1
    assert error.startswith("python -m dunfold_lib: ")
    assert says in error
