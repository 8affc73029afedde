"""Corpora are pooled without losing or confusing an utterance, and audio alone is a corpus for pre-training."""

from collections import Counter

import pytest

from serenanet_modules.data.corpora import lacking, unlabelled
from serenanet_modules.data.manifest import read_manifest
from serenanet_modules.data.preparation import Settings, prepare
from serenanet_modules.errors import LayoutError, UserError
from serenanet_modules.inference import files
from tests.support import layouts
from tests.support.layouts import candidates, noise


def manifest(folder, *splits, name="m.tsv"):
    folder.mkdir(exist_ok=True)
    rows = "".join(f"{i}.wav\tneno {i}\t{split}\n" for i, split in enumerate(splits))
    (folder / name).write_text(f"path\ttext\tsplit\n{rows}")
    return folder / name


def test_colliding_ids_and_sets_carry_their_corpus(tmp_path):
    """Both utterances stay; a name that only one corpus has stays as it is."""
    one = manifest(tmp_path / "one", "train", "dev", "test", name="sw.tsv")
    two = manifest(tmp_path / "two", "train", "dev", name="sw.tsv")
    found = candidates("Custom", [one, two])
    assert [(c.id, c.split) for c in found] == [
        ("sw/0", "train"), ("sw/1", "dev-sw"), ("2", "test"), ("sw2/0", "train"), ("sw2/1", "dev-sw2")
    ]  # fmt: skip
    assert [c.path.parent.name for c in found] == ["one"] * 3 + ["two"] * 2


def test_any_recipe_takes_manifests_and_audio_beside_its_own_layout(tmp_path):
    layouts.mboshi(tmp_path / "mboshi")
    extra = manifest(tmp_path / "extra", "train")
    for i in range(3):
        noise(tmp_path / "radio" / "station" / f"{i}.wav")
    entries = [tmp_path / "mboshi", extra, tmp_path / "radio"]
    with pytest.raises(LayoutError, match="is it a clone of the Mboshi corpus"):
        candidates("Mboshi", entries)
    with pytest.raises(LayoutError, match="radio: holds 3 recordings but no transcriptions beside them"):
        candidates("Custom", entries[1:])
    found = candidates("Mboshi", entries, needs_text=False)
    assert len(found) == 9 + 1 + 3
    assert {(c.split, c.text, c.speaker) for c in found[-3:]} == {("train", "", "station")}


def test_audio_alone(tmp_path):
    """Long recordings come in equal pieces that cover them, whole files go to dev, and preparation keeps them."""
    noise(tmp_path / "radio" / "long.flac", 50)
    for i in range(99):
        noise(tmp_path / "radio" / f"{i}.wav", 0.5)
    found = candidates("Custom", tmp_path / "radio", needs_text=False)
    pieces = [c for c in found if c.path.name == "long.flac"]
    assert [(c.start, c.end) for c in pieces] == [(0, 16.67), (16.67, 33.33), (33.33, None)]
    assert Counter(c.split for c in found)["dev"] == 2 and len({c.split for c in pieces}) == 1
    prepared = prepare(found, tmp_path / "out", Settings(needs_text=False), progress=False)
    rows = read_manifest(prepared.manifest)
    assert len(rows) == 102
    assert sum(u.duration for u in rows if "long" in u.id) == pytest.approx(50)
    with pytest.raises(UserError, match="No train utterance is usable .*empty text"):
        prepare(found, tmp_path / "out", Settings(), progress=False)


def test_audio_behind_links(tmp_path):
    """All who read folders of audio find the same: files, links to them, what is in linked folders, broken links."""
    noise(tmp_path / "disk" / "sw" / "a.wav")
    for folder in ("files", "folders", "broken", "mixed"):
        (tmp_path / folder).mkdir()
    for folder in ("files", "mixed"):
        (tmp_path / folder / "one.wav").symlink_to(tmp_path / "disk/sw/a.wav")
    for folder in ("folders", "mixed"):
        (tmp_path / folder / "sw").symlink_to(tmp_path / "disk/sw")
    for folder in ("broken", "mixed"):
        (tmp_path / folder / "gone.wav").symlink_to("nowhere.wav")
    (tmp_path / "mixed" / "folder.wav").mkdir()
    names = {"files": ["one.wav"], "folders": ["sw/a.wav"], "broken": ["gone.wav"]}
    for name, expected in (names | {"mixed": ["gone.wav", "one.wav", "sw/a.wav"]}).items():
        folder = tmp_path / name
        assert [str(c.path.relative_to(folder)) for c in unlabelled(folder, "sw")] == expected
        assert [str(file.inside) for file in files.find([str(folder)], None)] == expected
        said = "holds 1 link to a file that is not there" if name == "broken" else "but no transcriptions beside them"
        assert said in lacking(folder) and (name != "mixed" or "holds 2 recordings" in lacking(folder))
    (tmp_path / "disk" / "sw" / "train.tsv").touch()
    assert lacking(tmp_path / "folders") == ""


def test_what_is_not_there(tmp_path):
    for entries in (tmp_path / "gone", [tmp_path, tmp_path / "gone"]):
        with pytest.raises(UserError, match="data_folder: there is no file or folder .*gone"):
            candidates("Custom", entries)
    with pytest.raises(UserError, match="the list is empty"):
        candidates("Custom", [])
