"""A function fits a screen, and no two rooms say the same six lines."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "serenanet_modules"
SCREEN, DUPLICATE = 50, 6  # lines of code
FOLDERS = ("serenanet_modules", "recipes", "benchmarks", "tests")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def code(source):
    """Number -> text of the lines that say something: no docstring, import, comment, blank line or lone bracket."""
    lines = dict(enumerate(map(str.strip, source.splitlines()), 1))
    for node in ast.walk(ast.parse(source)):
        string = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if string or isinstance(node, (ast.Import, ast.ImportFrom)):
            for number in range(node.lineno, node.end_lineno + 1):
                lines.pop(number, None)
    return {n: line for n, line in lines.items() if not line.startswith("#") and any(map(str.isalnum, line))}


def functions(source):
    """(name, lines of code) of each function, signature and functions in it included."""
    lines = code(source)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, sum(node.lineno <= number <= node.end_lineno for number in lines)


def windows(source):
    """(number of its first line, six lines of code in a row) of a file."""
    lines = list(code(source).items())
    for at in range(len(lines) - DUPLICATE + 1):
        yield lines[at][0], tuple(line for _, line in lines[at : at + DUPLICATE])


def repeated(sources):
    """(place, place) of what stands in two rooms; ``sources`` are (room, file, text)."""
    first, found = defaultdict(dict), []
    for room, file, source in sources:
        for number, window in windows(source):
            others = [place for other, place in first[window].items() if other != room]
            found += [(other, f"{file}:{number}") for other in others[:1]]
            first[window].setdefault(room, f"{file}:{number}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_function_fits_a_screen(path):
    lengths = functions(path.read_text(encoding="utf-8"))
    assert not [(name, length) for name, length in lengths if length > SCREEN]


def test_rooms_do_not_repeat_each_other():
    sources = [
        (path.relative_to(PACKAGE).parts[0], str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))
        for path in sorted(PACKAGE.rglob("*.py"))
    ]
    assert not repeated(sources)


def test_what_is_measured_is_noticed():
    """A line too many, and a copy whatever stands between its lines."""
    long = "def f():\n    '''a\n    b'''\n" + "    x = 1\n" * SCREEN
    assert list(functions(long)) == [("f", SCREEN + 1)]
    assert list(functions(long.replace("    x = 1\n", "    # x\n\n", 1))) == [("f", SCREEN)]
    lines = [f"x = {i}" for i in range(DUPLICATE)]
    one, other = "\n".join(lines), "if y:\n    " + "\n\n    # why\n    ".join(lines)
    assert repeated([("a", "a.py", one), ("b", "b.py", other)]) == [("a.py:1", "b.py:2")]
    assert not repeated([("a", "a.py", one), ("a", "b.py", other)])
    assert not repeated([("a", "a.py", one), ("b", "b.py", other.replace("x = 3", "x = 4"))])
