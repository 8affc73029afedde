"""Standard streams that are closed, full or narrow, and disks without room: one sentence, and nothing half-written."""

import errno
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st

from serenanet_modules import cli
from serenanet_modules.runtime import ending, files
from tests.support.battery import CASES, all_hold, is_found
from tests.support.folders import make_random_result
from tests.support.presets import preset
from tests.support.sounds import write
from tests.support.tiny import ROOT

SMALL = [("encoder.n_layers", "1"), ("d_model", "32"), ("encoder.d_ffn", "64"), ("car", "null")]
STREAMS = {  # what a shell does to a command's streams
    "closed output": ">&-",
    "closed error": "2>&-",
    "closed input": "<&-",
    "all closed": "<&- >&- 2>&-",
    "a full output": ">/dev/full",
    "a full error": "2>/dev/full",
}
COMMANDS = ("--help", "serve --help", "config --table", "compare", "config hparams/serenanet.yaml")
NARROW = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}, {"PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}, {}
SHELLS = st.tuples(st.sampled_from(sorted(STREAMS)), st.sampled_from(COMMANDS), st.integers(0, 2), st.booleans())


def streams(case):
    """A sentence or nothing, where it can be read; what could not be said has a status of its own."""
    how, command, terminal, buffered = case
    line = f"{sys.executable} -m serenanet_modules.cli {command} {STREAMS[how]}"
    environment = os.environ | NARROW[terminal] | {"PYTHONUNBUFFERED": "" if buffered else "1"}
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, cwd=ROOT, env=environment)
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    output_is_lost = command != "compare" and how in ("closed output", "all closed", "a full output")
    assert done.returncode == (2 if output_is_lost or command == "compare" else 0), done
    if done.returncode and how in ("closed output", "a full output", "closed input"):
        assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("how", ["a full output", "closed output"])
def test_streams(how):
    streams((how, "serve --help", 0, how == "a full output"))


@pytest.mark.slow
def test_all_streams():
    all_hold("streams", SHELLS, streams, cases=CASES if CASES >= 50 else 1)


# --- the machine ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A recogniser, a recording, a manifest and a text."""
    folder = tmp_path_factory.mktemp("endings")
    make_random_result(folder / "model", preset("serenanet/demo"), *SMALL, blank=5.0)
    write(folder / "a.wav", 0.1 * np.random.default_rng(0).standard_normal(16000))
    (folder / "m.csv").write_text("path,text\na.wav,mama baba\n", encoding="utf-8")
    (folder / "text.txt").write_text("mama anakula\nbaba anakula\n" * 20, encoding="utf-8")
    (folder / "a.TextGrid").write_text(TEXTGRID, encoding="utf-8")
    return folder


def commands(folder, out):
    """A line of each command that writes files, by its name."""
    model, clip = folder / "model", folder / "a.wav"
    return {
        "transcribe": ("transcribe", model, clip, "--format", "json", "--out", out),
        "align": ("align", model, clip, "mama", "--out", out / "a.TextGrid"),
        "lm": ("lm", folder / "text.txt", "--locale", "sw", "--tool", "own", "--out", out / "a.arpa"),
        "evaluate": ("evaluate", model, folder / "m.csv", "--out", out),
        "validate": ("validate", folder / "m.csv", "--locale", "sw", "--plot", out / "a.png"),
        "pseudo-label": ("pseudo-label", model, clip, "--min-confidence", "0", "--out", out / "a.csv"),
        "export": ("export", model, "--to", "torchscript", "--out", out),
        "ablate": ("ablate", "--recipe", RECIPE, "--suite", SUITE, "--dry-run", "--out", out),
        "benchmark": ("benchmark", model, folder / "m.csv", "--locale", "sw", "--out", out),
        "synthesise": ("synthesise", folder / "text.txt", "--locale", "sw", "--out", out),
        "languages": ("languages", model, FLEURS, "--out", out),
        "report": ("report", model, "--out", out),
        "adapt": ("adapt", model, folder / "m.csv", "--out", out),
        "rank": ("rank", model, clip, "--out", out / "a.tsv"),
        "recipe": ("recipe", "Custom", "--out", out),
        "download": ("download", "Custom", "--out", out),
        "tiers": ("tiers", folder / "a.TextGrid", "--out", out / "b.TextGrid"),
    }


RECIPE, SUITE, FLEURS = ROOT / "recipes/CommonVoice/sw", ROOT / "hparams/ablations/suite.yaml", ROOT / "recipes/FLEURS"
TEXTGRID = "\n".join(
    ['File type = "ooTextFile"', 'Object class = "TextGrid"', "0", "1", "<exists>", "1"]
    + ['"IntervalTier"', '"words"', "0", "1", "1", "0", "1", '"mama"', ""]
)
CHEAP = ("transcribe", "align", "lm", "evaluate", "pseudo-label", "rank", "recipe", "tiers")
FAULTS = ("no room", "below a file", "a file", "/proc", "empty")
MACHINES = st.tuples(st.sampled_from(CHEAP), st.sampled_from(FAULTS), st.integers(0, 40))


def failing(model, capsys):
    """A check: the command ends in one sentence, with nothing new under any name but of the folders it made."""

    def check(case):
        command, fault, room = case
        with tempfile.TemporaryDirectory() as scratch:
            scratch = Path(scratch)
            (scratch / "file").write_text("mine")
            places = {"below a file": scratch / "file" / "x", "a file": scratch / "file", "/proc": Path("/proc/x")}
            words = [str(word) for word in commands(model, places.get(fault, scratch / "out"))[command]]
            if fault == "empty":
                words[words.index("--out") + 1] = ""
            before = resource.getrlimit(resource.RLIMIT_FSIZE)
            capsys.readouterr()
            try:
                if fault == "no room":
                    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
                status = cli.main(words)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
            said = capsys.readouterr().err
            assert (scratch / "file").read_text() == "mine"
            sentences = said.splitlines()
            assert status == 2 and len(sentences) == 1 and sentences[0].startswith("error: "), (status, said)
            left = [path for path in scratch.rglob("*") if path.is_file() and path.name not in ("file", ".serenanet")]
            assert not [path for path in left if "prepared" not in path.parts], left

    return check


def test_machines(model, capsys):
    all_hold("machines", MACHINES, failing(model, capsys), cases=max(6, CASES))


@pytest.mark.parametrize("command", ["export", "validate"])
def test_what_writes_by_itself(model, capsys, command):
    """Libraries that write files themselves."""
    failing(model, capsys)((command, "no room", 20))


def test_every_command_that_writes_is_here(model):
    """Those with ``--out`` have ``--force`` too; but a copy of a recipe is new, and speech and corpora go on."""
    (parsers,) = [action.choices for action in cli._parser()._actions if hasattr(action.choices, "values")]
    options = {name: set(parser._option_string_actions) for name, parser in parsers.items()}
    writing = {name for name, known in options.items() if known & {"--out", "--plot"}}
    assert writing == set(commands(model, Path("x")))
    assert {name for name in writing if "--force" not in options[name]} == {"synthesise", "recipe", "download"}


@pytest.mark.parametrize("command", commands(Path("."), Path(".")))
def test_nothing_of_a_strangers_is_written_over(model, capsys, tmp_path, command):
    """A folder with files of every name that a command could want, and a file."""
    names = "a.json a.TextGrid a.ctm a.arpa a.csv a.tsv a.png b.TextGrid model.pt languages.md"
    for name in names.split():
        (tmp_path / name).write_text("mine")
    (tmp_path / "wanted").write_text("mine")
    for out in (tmp_path, tmp_path / "wanted", tmp_path / "wanted" / "below"):
        assert cli.main([str(word) for word in commands(model, out)[command]]) == 2
        said = capsys.readouterr().err
        assert said.startswith("error: ") and said.count("\n") == 1, said
    assert all(path.read_text() == "mine" for path in tmp_path.iterdir())


def test_a_working_folder_that_is_gone(tmp_path, capsys, monkeypatch):
    (tmp_path / "x").mkdir()
    monkeypatch.chdir(tmp_path / "x")
    (tmp_path / "x").rmdir()
    assert cli.main(["config", "serenanet.yaml"]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_planted_faults(model, capsys, monkeypatch):
    """Errors of the system that nobody explains, and files that are written where they stand."""
    monkeypatch.setattr(ending, "explain", lambda error: None)
    assert is_found(MACHINES, failing(model, capsys))
    monkeypatch.undo()
    monkeypatch.setattr(files.os, "replace", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full", "x")))
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)
    assert is_found(MACHINES.filter(lambda case: case[1] == "no room" and case[0] != "lm"), failing(model, capsys))
