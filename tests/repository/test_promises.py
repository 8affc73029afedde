"""docs/promises.md names tests that are there, and says something of each."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLE_HEAD = ["promise", "held by", "last figure"]


def rows():
    """(number of the line, cells) of every row of every table."""
    for number, line in enumerate((ROOT / "docs/promises.md").read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("|"):
            yield number, [cell.strip() for cell in line.strip("|").split("|")]


PROMISES = [row for row in rows() if row[1] != TABLE_HEAD and set("".join(row[1])) - set("-: ")]


@cache
def names_in(path):
    """Names of the tests in a file, as pytest collects them without parameters."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_there_are_promises():
    assert len(PROMISES) > 20


@pytest.mark.parametrize("number, cells", PROMISES, ids=lambda value: f"line {value}" if isinstance(value, int) else "")
def test_each_promise_has_a_test_and_a_figure(number, cells):
    assert len(cells) == 3 and all(cells), f"line {number} must be | promise | tests | figure |"
    named = re.findall(r"`(tests/[^`]*)`", cells[1])
    assert named, f"line {number} names no test as `tests/file.py::test`"
    for name in named:
        path, _, test = name.partition("::")
        assert (ROOT / path).is_file(), f"line {number}: there is no {path}"
        assert test in names_in(path), f"line {number}: {path} has no {test}"
