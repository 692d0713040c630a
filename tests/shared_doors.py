"""What the tests ``test_doors*`` share."""

import pytest

from dunfold_lib import records
from dunfold_lib.experiment import Experiment


@pytest.fixture
def results(tmp_path, monkeypatch):
    """An empty results folder in the place of the committed one."""
    monkeypatch.setattr(records, "results_root", lambda: tmp_path)
    return tmp_path


def fake(**changes):
    about = {"title": "t", "source": "s", "protocol": "p", "published": {"nmse_db": -1.0}}
    score = {
        "build": lambda recipe=None, seed=0: None,
        "measure": lambda net, seed: {"nmse_db": -2.0 - seed},
    }
    return Experiment(**about | score | changes)


SMALL = ["stage_steps=1", "finish_steps=1", "batch=4"]
