"""Of bad input: figures."""

import builtins

import numpy as np
from refusals import NAN, cases, refused

from dunfold_lib import show
from dunfold_lib.explore import Explorer, Guess, Slider
from dunfold_lib.show import Curves, Frames, line

# show


IMAGE = r"it must be \(height, width\) or \(height, width, 3\)"


def grey(*shape):
    return np.full(shape, 0.5)


def curves(**changes):
    settings = {"xlabel": "x", "ylabel": "y", "alt": "a", "xlim": (0, 1), "ylim": (0, 1)}
    return Curves((line([0, 1], [0, 1]),), **(settings | changes))


@cases(
    (([1, 2], [1]), ValueError, "x has 2 points and y 1; a line needs as many of each"),
    (([1], ["high"]), ValueError, ".*could not convert string to float: 'high'.*"),
    (
        ([1], [1], "", 0, "wavy"),
        ValueError,
        "style is 'wavy'; it must be one of solid, dashed, dots, path",
    ),
)
def test_line_refuses(given, error, says):
    refused(lambda: line(*given), error, says)


@cases(
    (((grey(2, 2),), ()), ValueError, "1 images have 0 captions"),
    (((), ()), ValueError, "frames were given no image; they need at least one"),
    (((grey(4),), ("a",)), ValueError, rf"an image has shape \(4,\); {IMAGE}"),
    (((grey(4, 4, 4),), ("a",)), ValueError, rf"an image has shape \(4, 4, 4\); {IMAGE}"),
)
def test_frames_refuse(given, error, says):
    refused(lambda: Frames(*given, alt="a"), error, says)


@cases(
    (0, ValueError, "zoom is 0; it must be at least 1"),
    (1.5, TypeError, "zoom is 1.5; it must be a whole number"),
)
def test_frames_refuse_a_zoom(given, error, says):
    refused(lambda: Frames((grey(2, 2),), ("a",), "a", zoom=given), error, says)


def test_page_refuses_to_show_nothing():
    says = "page was given no panel; it needs at least one Curves or Frames"
    refused(show.page, ValueError, says)


def test_table_refuses_a_row_of_another_length():
    says = "a row has 1 cells; the table has 2 columns"
    refused(lambda: show.table(["a", "b"], [[1, 2], [3]]), ValueError, says)


def test_twins_refuse_what_has_no_source():
    says = "<built-in function len> has no source to show"
    refused(lambda: show.twins(builtins.len, curves), TypeError, says)


# explore


def slider(*values, start=0):
    return {"v": Slider("v", values, start)}


@cases(
    ({}, ValueError, "an explorer was given no slider; it needs at least one"),
    (slider(1, 2, start=2), ValueError, "slider v starts at 2 of 2 values"),
    (slider(1, 2, start=-1), ValueError, "slider v starts at -1 of 2 values"),
    (slider(), ValueError, "slider v starts at 0 of 0 values"),
    (slider(*range(81)), ValueError, "81 states to precompute; a page holds at most 80"),
)
def test_an_explorer_refuses(given, error, says):
    refused(lambda: Explorer(lambda v: curves(), given, "c"), error, says)


@cases(
    ((("a",), "a"), ValueError, "choices are .*; a guess needs two or more, all different"),
    ((("a", "a"), "a"), ValueError, "choices are .*; a guess needs two or more, all different"),
    ((("a", "b"), "c"), ValueError, "right is 'c'; it must be one of .*"),
    ((("a", 1), "a"), TypeError, ".*choices.*"),
)
def test_a_guess_refuses(given, error, says):
    refused(lambda: Guess("?", *given, "because"), error, says)


@cases(
    (lambda w: curves(), TypeError, ".* got an unexpected keyword argument 'v'"),
    (lambda v: curves(xlim=None), ValueError, "a panel .* no limits; it needs xlim and ylim"),
    (lambda v: curves(ylim=None), ValueError, "a panel .* no limits; it needs xlim and ylim"),
)
def test_the_page_of_an_explorer_refuses_a_figure_function(given, error, says):
    refused(Explorer(given, slider(1, 2), "c").html, error, says)


@cases(
    ({"L": NAN}, ValueError, ".*not JSON compliant.*"),
    ({"A": np.ones(2)}, TypeError, "Object of type ndarray is not JSON serializable"),
)
def test_the_page_of_an_explorer_refuses_a_problem_that_json_cannot_hold(given, error, says):
    made = Explorer(lambda v: curves(), slider(1, 2), "c", script="go", problem=given)
    refused(made.html, error, says)
