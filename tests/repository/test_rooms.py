"""Rooms of the package, and who may import whom: imports point down only."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "serenanet_modules"
ROOMS = (  # from the street to the cellar: each imports rooms behind it only
    *("cli", "server", "export", "ablation", "inference", "training", "analysis", "runs", "decoding"),
    *("data", "config", "lobes", "runtime", "ops"),
)
LOOSE = {"__init__.py", "errors.py"}
FILES = sorted(PACKAGE.rglob("*.py"))


def imports(tree, package=PACKAGE.name):
    """Dotted names below a package that a file imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute here"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name.partition(".")[2] for name in names if name.split(".")[0] == package)


def room_of(name):
    room = name.split(".")[0]
    return room if room in ROOMS else None  # of errors.py and the version


def upward(source, room):
    """Rooms that a file's text imports and that do not lie below its own."""
    found = {room_of(name) for name in imports(ast.parse(source))} - {None, room}
    return sorted(other for other in found if ROOMS.index(other) < ROOMS.index(room))


def test_there_is_nothing_beside_the_rooms():
    assert {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"} == set(ROOMS)
    assert {path.name for path in PACKAGE.iterdir() if path.is_file()} == LOOSE


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    room = path.relative_to(PACKAGE).parts[0]
    source = path.read_text(encoding="utf-8")
    if room in ROOMS:
        assert not upward(source, room)
    else:
        assert not [name for name in imports(ast.parse(source)) if room_of(name)]


def test_an_import_upwards_is_noticed():
    """Also inside a function, and of a whole room."""
    assert upward("def f():\n    from serenanet_modules.training.loop import RecipeBrain", "lobes") == ["training"]
    assert upward("from serenanet_modules import cli", "data") == ["cli"]
    assert upward("import serenanet_modules.inference.segment", "runs") == ["inference"]


def test_every_room_has_its_sentence():
    """Of its own, and a line in docs/architecture.md."""
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    for room in ROOMS:
        assert ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8"))), room
        assert f"\n  {room}/ " in page, room


def test_tests_mirror_the_package():
    """What a folder of tests is about is a room, or something that the package has not."""
    others = {
        "bad_input",
        "benchmarks",
        "hostile",
        "hygiene",
        "integration",
        "recipes",
        "repository",
        "sample",
        "slurm",
    }
    tests = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert tests <= set(ROOMS) | others | {"support"}
    assert {path.name for path in (ROOT / "tests").glob("*.py")} == {"conftest.py"}


def test_what_tests_share_stands_in_support():
    """No test module is imported by another, and no conftest.py."""
    for path in (ROOT / "tests").rglob("*.py"):
        for name in imports(ast.parse(path.read_text(encoding="utf-8")), "tests"):
            assert name.split(".")[0] in ("support", "sample"), f"{path} imports tests.{name}"
