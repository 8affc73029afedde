"""What may stand where a command is to write: it writes over its own outputs, and nothing else. Names of all kinds."""

import io
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import strategies as st

from serenanet_modules.errors import UserError
from serenanet_modules.inference import files
from serenanet_modules.inference.files import AudioFile
from serenanet_modules.runtime import outputs as module
from serenanet_modules.runtime.files import replacing
from serenanet_modules.runtime.outputs import LIST, Outputs
from tests.support.battery import all_hold, is_found
from tests.support.refusals import sentence

STATES = {  # what is there, and whether a command may write over it: without and with --force
    "nothing": (True, True),
    "its own": (True, True),
    "its own, changed since": (False, True),
    "another command's": (False, True),
    "a stranger's": (False, True),
    "an empty file": (False, True),
    "an input": (False, False),
    "a link to an input": (False, False),
    "another name of an input": (False, False),
    "a file of the model": (False, False),
    "a folder": (False, False),
    "a device": (False, False),
    "a pipe": (False, False),
    "a link to nothing": (False, False),
    "below a file": (False, False),
    "below /proc": (False, False),
    "twice": (False, False),
}
NAME = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=40).filter(
    lambda name: name not in (".", "..", LIST) and len(name.encode()) < 200
)
PLACES = st.tuples(st.sampled_from(sorted(STATES)), st.booleans(), NAME, st.sampled_from(["lm", "align"]))


def prepared(folder, state, name, command):
    """Put a state in place; the path to write, and what the command reads."""
    path, source, model = folder / name, folder / ".source" / "source.wav", folder / ".model"
    for place in (source.parent, model):
        place.mkdir()
    source.write_text("sound")
    if state in ("its own", "its own, changed since"):
        Outputs(command).write(path, "made")
    elif state == "another command's":
        Outputs("report").write(path, "made")
    if state in ("a stranger's", "its own, changed since"):
        path.write_text("mine")
    actions = {
        "an empty file": path.touch,
        "a link to an input": lambda: path.symlink_to(source),
        "another name of an input": lambda: os.link(source, path),
        "a folder": path.mkdir,
        "a pipe": lambda: os.mkfifo(path),
        "a link to nothing": lambda: path.symlink_to(folder / "nowhere"),
    }
    actions.get(state, lambda: None)()
    (model / name).write_text("weights")
    others = {
        "an input": source,
        "a file of the model": model / name,
        "a device": Path("/dev/null"),
        "below a file": source / name,
        "below /proc": Path("/proc/nowhere") / name,
    }
    return others.get(state, path), [source, model]


def the_rule(case):
    """The table above."""
    state, force, name, command = case
    with tempfile.TemporaryDirectory() as folder:
        path, reads = prepared(Path(folder), state, name, command)
        before = path.read_bytes() if path.is_file() else None
        outputs = Outputs(command, reads, force)
        try:
            outputs.check(*[path] * (2 if state == "twice" else 1))
        except UserError as error:
            sentence(error)
            assert not STATES[state][force]
            assert not path.is_file() or path.read_bytes() == before
        else:
            assert STATES[state][force]
            outputs.write(path, "new")
            assert path.read_text() == "new" and not list(Path(folder).glob(".*.part"))
            Outputs(command, reads).check(path)
            with pytest.raises(UserError):
                Outputs("another", reads).check(path)


def test_files():
    all_hold("places of outputs", PLACES, the_rule)


def test_what_somebody_changed_is_told_from_what_is_not_ones_own(tmp_path):
    outputs, path = Outputs("transcribe"), tmp_path / "a.eaf"
    outputs.write(path, "made")
    path.write_text("corrected")
    told = "has been changed since this command wrote it; give another name, or --force to lose the changes"
    with pytest.raises(UserError, match=f"a.eaf: {told}$"):
        outputs.check(path)
    with pytest.raises(UserError, match="a.eaf: exists and was not made by this command"):
        Outputs("align").check(path)


FOLDERS = {
    "nothing": (True, True),
    "empty": (True, True),
    "its own": (True, True),
    "another command's": (False, True),
    "a stranger's": (False, True),
    "a training's": (False, False),
    "an input's": (False, False),
    "an input": (False, False),
    "a file": (False, False),
    "below a file": (False, False),
}


def a_folder(case):
    """The same for folders."""
    state, force, name = case
    with tempfile.TemporaryDirectory() as scratch:
        source, folder = Path(scratch) / "in" / "manifest.csv", Path(scratch) / "there" / name
        folder.parent.mkdir()
        source.parent.mkdir()
        source.touch()
        if state not in ("nothing", "a file"):
            folder.mkdir()
        if state in ("its own", "another command's"):
            Outputs("evaluate" if state == "its own" else "report").begin(folder)
        if state in ("its own", "another command's", "a stranger's", "a training's"):
            (folder / "scores.json").touch()
        if state == "a training's":
            (folder / "hyperparams.yaml").touch()
        if state == "a file":
            folder.touch()
        asked = {"an input's": source.parent, "an input": source, "below a file": source / "x"}.get(state, folder)
        try:
            Outputs("evaluate", [source], force).check_folder(asked)
        except UserError as error:
            sentence(error)
            assert not FOLDERS[state][force]
        else:
            assert FOLDERS[state][force]


def test_folders():
    all_hold("folders of outputs", st.tuples(st.sampled_from(sorted(FOLDERS)), st.booleans(), NAME), a_folder)


WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=90)
LINES = st.lists(st.one_of(WORDS, st.integers(118, 125).map("ñ".__mul__)))
NAMES = st.tuples(LINES.filter(bool), st.booleans(), st.sampled_from(["txt", "TextGrid", "json"]))


def names(case):
    """Each input has an output of its own, in one line, of a length that can be written."""
    stems, twins, suffix = case
    inside = [Path(f"{stem}.wav") for stem in stems if stem not in (".", "..")]
    inside += [Path(f"{path.name}-2.wav") for path in inside if twins] + inside[:1] * twins
    found = [AudioFile(Path("x", str(i)) / path, path) for i, path in enumerate(inside)]
    paths = files.outputs(found, Path("out"), suffix)
    assert len(set(paths)) == len(found) == len(paths)
    assert all(len(os.fsencode(path.name)) <= 255 and path.parent == Path("out") for path in paths)
    assert all(len(file.name.splitlines()) == 1 and "\t" not in file.name for file in found)


def test_names():
    all_hold("names", NAMES, names)


LONG = st.text(st.sampled_from('aéネ🦛 \n."'), min_size=1, max_size=260).filter(lambda name: name.strip(". "))


def a_long_name(name):
    """What the file system takes as a name, it takes as an output's."""
    while len(name.encode()) > 255:
        name = name[:-1]
    with tempfile.TemporaryDirectory() as folder:
        with replacing(Path(folder) / name) as partial:
            partial.write_text("x")
        assert [path.name for path in Path(folder).iterdir()] == [name]


def test_long_names():
    all_hold("long names", LONG, a_long_name)


@pytest.mark.parametrize("words", [[" a.wav"], ["a.wav "], ["\ta.wav"]])
def test_spaces_are_part_of_a_name(words):
    assert [str(file.path) for file in files.find(words, None)] == words


def test_a_list_may_begin_with_a_mark_of_its_encoding():
    assert [str(file.path) for file in files.find(["-"], io.BytesIO(b"\xef\xbb\xbfa.wav\r\n b.wav\n"))] == [
        "a.wav",
        " b.wav",
    ]


@pytest.mark.parametrize("words", [[""], ["a.wav", ""]])
def test_an_empty_name_is_refused(words):
    with pytest.raises(UserError, match="is empty"):
        files.find(words, None)


def test_a_model_in_the_place_of_audio_is_told(tmp_path):
    """As where the arguments change places; any other folder without audio is only that."""
    with pytest.raises(UserError, match=f"^{tmp_path}: holds no audio"):
        files.find([tmp_path], None)
    (tmp_path / "hyperparams.yaml").touch()
    told = "is a result folder, not audio; give the model first, then the audio"
    with pytest.raises(UserError, match=f"^{tmp_path}: {told}$"):
        files.find([tmp_path], None)


@pytest.mark.parametrize(
    ("place", "name", "fault", "strategy", "check"),
    [
        (module, "sha256", lambda path: "the same", PLACES, the_rule),
        (module, "_identity", lambda path: str(path), PLACES, the_rule),
        (module, "_check_place", lambda folder: None, PLACES, the_rule),
        (module, "RUN", "nothing.yaml", st.tuples(st.just("a training's"), st.booleans(), NAME), a_folder),
        (files, "_name", lambda stem, number, suffix: f"{stem}.{suffix}"[:255] + number, NAMES, names),
        (files, "one_line", lambda name: name, NAMES, names),
    ],
    ids=["changed since", "links", "places", "training", "long", "lines"],
)
def test_planted_faults(monkeypatch, place, name, fault, strategy, check):
    monkeypatch.setattr(place, name, fault)
    assert is_found(strategy, check)
