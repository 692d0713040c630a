"""What the tests of bad input share: a refusal in one line, and values to be refused."""

import math
import re

import pytest
import torch

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
