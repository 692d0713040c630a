"""What the command line takes, and what it refuses."""

import argparse
import math
import os
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message.splitlines()[0]}\n")


def seed(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no seed; it must be a whole number from 0")
    return int(text)


def hours(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 < found < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; it must be hours above 0")
    return found


def given(text: str) -> str:
    """A file or folder; an empty one is the mark of a shell variable that is not set."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty; is a shell variable not set?")
    return os.path.expanduser(text)


def side(text: str) -> int:
    if text == "native":
        return 0
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no side; it must be pixels, or native")
    return int(text)


def of_train(p: argparse.ArgumentParser) -> None:
    p.add_argument("experiment", metavar="ROOM/NAME")
    p.add_argument("--recipe", type=given, default="cpu", help="cpu (default) or gpu")
    p.add_argument("--seed", type=seed, default=0, help="seed of training and test signals")
    p.add_argument("--name", type=given, help="what a recipe with changed fields is called")
    p.add_argument("--device", choices=("cpu", "cuda", "mps"), help="default: the recipe's")
    text = "sparse recovery: train on your own dictionary, a matrix (m, n) as evaluate takes it"
    p.add_argument("--operator", type=given, metavar="FILE", help=text)
    p.add_argument("--out", type=given, default="runs", help="folder for the run (default: runs)")
    p.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    p.add_argument("--record", action="store_true", help="keep the run in results/")
    p.add_argument("--replace", action="store_true", help="replace a run that is recorded")


def of_evaluate(p: argparse.ArgumentParser) -> None:
    p.add_argument("experiment", metavar="ROOM/NAME")
    text = "a weights.safetensors (default: recorded ones, and it is said which)"
    p.add_argument("--weights", type=given, metavar="FILE", help=text)
    p.add_argument("--recipe", type=given, help="the recorded weights of this recipe")
    text = "weights that the authors released"
    p.add_argument("--released", type=given, metavar="FILE", help=text)
    text = (
        "their .npz or .mat files with phi and Qinit, or mask_matrix; for sparse recovery "
        "your own dictionary, a matrix (m, n) in a .npy, .npz, .mat or .pt file"
    )
    p.add_argument("--operator", nargs="+", type=given, default=[], metavar="FILE", help=text)
    p.add_argument("--data", type=given, metavar="FOLDER", help="measure on your own data")
    text = "resize infrared frames of --data to this; native: leave them (default: 256)"
    p.add_argument("--side", type=side, metavar="PIXELS", help=text)
    text = "seed of the test signals, and of the run whose weights are taken"
    p.add_argument("--seed", type=seed, help=text)
    p.add_argument("--json", action="store_true", help="print the whole record as JSON")


def of_run(p: argparse.ArgumentParser) -> None:
    p.add_argument("experiment", metavar="ROOM/NAME")
    text = "a file, or a folder of files: measurements, images, cubes, infrared frames"
    p.add_argument("input", type=given, metavar="INPUT", help=text)
    text = "a file .npy, or .png for a picture; for a folder a folder"
    p.add_argument("output", type=given, metavar="OUTPUT", help=text)
    text = "for guided super-resolution: the guide of a file, or a folder of guides"
    p.add_argument("--guide", type=given, metavar="FILE", help=text)
    text = "for denoisers: the noise's deviation (a cube's is estimated where it is not given)"
    p.add_argument("--sigma", type=float, help=text)
    p.add_argument("--recipe", type=given, help="the recorded weights of this recipe")
    p.add_argument("--seed", type=seed, help="those of this seed")
    p.add_argument("--weights", type=given, metavar="FILE", help="weights that you trained")


def of_reproduce(p: argparse.ArgumentParser) -> None:
    p.add_argument("where", nargs="?", metavar="ROOM[/NAME]")
    p.add_argument("--run", action="store_true", help="measure again, into --out")
    p.add_argument("--seeds", type=seed, default=3, help="how many seeds --run measures")
    p.add_argument("--recipe", type=given, help="only train what is not recorded of this recipe")
    p.add_argument("--hours", type=hours, help="stop in time; the same command goes on later")
    p.add_argument("--record", action="store_true", help="keep what --run measured in results/")
    p.add_argument("--replace", action="store_true", help="replace runs that are recorded")
    p.add_argument("--out", type=given, default="runs", help="folder for new runs (default: runs)")


def of_new(p: argparse.ArgumentParser) -> None:
    p.add_argument("name", metavar="NAME", help="of the room: lower-case letters, digits, '_'")
    text = "where it goes: a clone of this repository, or any folder (default: this one)"
    p.add_argument("--into", type=given, default=".", metavar="FOLDER", help=text)


def of_exercises(p: argparse.ArgumentParser) -> None:
    p.add_argument("out", type=given, metavar="OUT", help="a new or an empty folder")
    text = "one page alone, such as sparse/lista (default: every page with exercises)"
    p.add_argument("--page", type=given, metavar="ROOM/PAGE", help=text)
    text = "a notebook a page, its cells marked as nbgrader marks them, instead of files of Python"
    p.add_argument("--notebook", action="store_true", help=text)
