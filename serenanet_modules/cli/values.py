"""What words of the command line stand for."""

import argparse


def count(text):
    """A number from 1."""
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1")
    return int(text)


def names(text):
    """``a, b`` -> [a, b]."""
    return [name.strip() for name in text.split(",") if name.strip()]
