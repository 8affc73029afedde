"""What the documents point at and name exists, so that a renaming is noticed."""

import ast
import importlib
import importlib.util
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from serenanet_modules import cli
from serenanet_modules.analysis import streaming

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("docs", "recipes", "benchmarks", "tests")
DOCUMENTS = [ROOT / "README.md", *sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```", re.DOTALL)
FENCED = re.DOTALL | re.MULTILINE
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))

ROOMS_OF_FILES = ("", "serenanet_modules", "serenanet_modules/training", "hparams", "tests")  # where a name may begin
OF_OTHERS = {"hyperparams.yaml", "script.py", "setup.py", "ruamel.yaml"}  # a result folder's, a reader's, a library's
OPTIONS_OF_OTHERS = set(
    """
    key logdir nproc_per_node kill-on-bad-exit distributed_backend noprogressbar
    array gpus-per-task nodes ntasks ntasks-per-node partition signal time
    no-build-isolation no-deps no-binary build-arg dest repo-type include local-dir depth
    """.split()
)


@each_document
def test_links_lead_somewhere(document):
    """Each relative link names a file, and its anchor a heading there."""
    text = CODE.sub("", document.read_text(encoding="utf-8"))
    for link in LINK.findall(text):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        assert target.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in _anchors(target), f"{link}: there is no such heading"


def _anchors(document):
    """Of the headings, as GitHub makes them.

    Spaces become hyphens; what is neither a letter, a digit, a hyphen nor an underscore goes.
    """
    headings = re.findall(r"^#+ (.*)$", CODE.sub("", document.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_document
def test_files_are_there(document):
    """Sources, scripts and hyper-parameter files by name or path, and whatever is said to stand in the checkout."""
    text = document.read_text(encoding="utf-8")
    for name in set(re.findall(r"(?<![\w/.$>-])((?:[\w-]+/)*[\w-]+\.(?:py|yaml|sh))\b", text)):
        found = any((place / name).is_file() for place in (document.parent, *(ROOT / room for room in ROOMS_OF_FILES)))
        assert found or name in _names() or Path(name).name in OF_OTHERS, f"there is no {name}"
    for path in set(
        re.findall(
            r"(?<![\w./-])(?:hparams|recipes|benchmarks|tests|docs)/(?:[\w./*-]|\[\d+\])*[\w*/](?![\w./*<[-])", text
        )
    ):
        assert any(any(place.glob(path)) for place in (ROOT, document.parent)), f"there is no {path}"


@each_document
def test_commands_are_there(document):
    """Commands of `serenanet`, targets of make, modules and their exports; options of programs, or hyper-parameters."""
    text = document.read_text(encoding="utf-8")
    commands = re.findall(r"^(?:.*\| |\$ )?serenanet ([a-z-]+)|`serenanet ([a-z-]+)", text, re.MULTILINE)
    assert {first or second for first, second in commands} <= set(cli.COMMANDS)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE):
        assert f"\n{target}:" in makefile, f"make {target}"
    for name in set(re.findall(r"serenanet_modules(?:\.\w+)+", text)):
        room, _, export = name.rpartition(".")
        assert importlib.util.find_spec(name) or hasattr(importlib.import_module(room), export), f"there is no {name}"
    for option in re.findall(r"(?<![\w-])--([a-zA-Z][\w-]*(?:\.\w+)*)", text):
        known = option in _options() | OPTIONS_OF_OTHERS or set(option.split(".")) <= _keys()
        assert known, f"nothing has an option or a key --{option}"


@pytest.mark.parametrize("page", ["inference", "security"])
def test_quoted_outputs_are_the_programs(page):
    """Words that stand beside each other in an output that a page shows do so in the sources, or in the corpus."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", (ROOT / f"docs/{page}.md").read_text(encoding="utf-8"), FENCED)
    lines = [
        line for language, block in blocks for line in block.splitlines() if not (language or line.startswith("$"))
    ]
    word = r"(?<![\w./-])[^\W\d_]+(?![\w./-])"
    runs = {run for line in lines for run in re.findall(rf"{word}(?: {word})+", line)}
    assert len(runs) > 4 and not {run for run in runs if run not in _said()}


@cache
def _said():
    """All texts in the package's sources, 0 where one has something put in, and in the corpus."""
    found = [path.read_text(encoding="utf-8").lower() for path in (ROOT / "tests/sample/CommonVoice/sw").glob("*.tsv")]
    for path in (ROOT / "serenanet_modules").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(part.value if isinstance(part, ast.Constant) else "0" for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


def test_columns_of_streams_are_told():
    """Each column of the table that compares a model with its streams stands in the table that explains them."""
    page = (ROOT / "docs/inference.md").read_text(encoding="utf-8")
    named = {heading.partition(",")[0].removesuffix(" p50") for heading in streaming.COLUMNS.values()}
    missing = {
        name
        for name in named - {"set", "way", "look-ahead", "p95"}
        if not re.search(rf"^\|[^|]*\b{name}\b", page, re.M)
    }
    assert not missing


def test_a_set_up_says_that_it_is_ready(tmp_path):
    """At its end, where it was asked for; what is missing besides is called optional."""
    (tmp_path / ".stamp").touch()  # all is there
    done = [
        subprocess.run(["make", *words, f"VENV={tmp_path}"], cwd=ROOT, capture_output=True, text=True).stdout
        for words in (["setup"], ["-n", "notebook"])
    ]
    told = f"ready: source {tmp_path}/bin/activate"
    assert done[0].splitlines()[-1] == told and told not in done[1] and "notebook.py" in done[1]
    environment = {"PATH": str(tmp_path)}
    tools = subprocess.run(["/bin/bash", ".ci/system-tools"], cwd=ROOT, env=environment, capture_output=True, text=True)
    lines = tools.stdout.splitlines()
    assert lines and all(line.startswith("optional, not here: ") for line in lines) and tools.returncode == 0


def test_options_are_told():
    """Each option of each command stands in some document, however it is spelled."""
    told = "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS).replace("_", "-")
    sources = (path.read_text(encoding="utf-8") for path in (ROOT / "serenanet_modules/cli").glob("*.py"))
    options = {name for text in sources for name in re.findall(r'"(--[a-z][a-z-]+)"', text)}
    assert len(options) > 80 and not {name for name in options if not re.search(rf"{name}(?![\w-])", told)}


@cache
def _names():
    """Of all sources and yaml files, wherever they stand."""
    folders = ("serenanet_modules", "hparams", "recipes", "benchmarks", "slurm", "tests", ".ci")
    return {path.name for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()}


@cache
def _options():
    """Of the programs here, as their sources say them."""
    sources = [
        path for folder in ("serenanet_modules", "benchmarks", "tests", ".ci") for path in (ROOT / folder).rglob("*.py")
    ]
    return {
        name for path in sources for name in re.findall(r"""["']--([\w-]+)["']""", path.read_text(encoding="utf-8"))
    }


@cache
def _keys():
    """Of hyper-parameter and recipes' files, at any depth."""
    files = [path for folder in ("hparams", "recipes") for path in (ROOT / folder).rglob("*.yaml")]
    return {key for path in files for key in re.findall(r"^ *(\w+):", path.read_text(encoding="utf-8"), re.MULTILINE)}
