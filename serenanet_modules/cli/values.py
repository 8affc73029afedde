"""What words of the command line stand for."""

import argparse


def count(text):
    """A number from 1."""
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1")
    return int(text)


def milliseconds(text):
    """A number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of milliseconds above 0")
    return value


def names(text):
    """``a, b`` -> [a, b]."""
    return [name.strip() for name in text.split(",") if name.strip()]
