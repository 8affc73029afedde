"""ELAN files that are written, or added to, say what they were given, and keep all that others wrote."""

import random
from pathlib import Path

import pytest

from serenanet_modules.cli import main
from serenanet_modules.data import custom
from serenanet_modules.data.annotations import elan, elan_writing, textgrid
from serenanet_modules.data.annotations.model import Annotation, Document, Tier
from serenanet_modules.data.annotations.rows import read_rows
from serenanet_modules.inference.segments import annotations_of, spans_of
from tests.support.eaf import check, eaf, tier
from tests.support.refusals import refusal

MILLISECOND = 0.0011


def spans(document):
    return {t.name: [(a.text, a.start, a.end) for a in t.annotations if a.text] for t in document.tiers}


def near(rows):
    return [
        (text, pytest.approx(start, abs=MILLISECOND), pytest.approx(end, abs=MILLISECOND)) for text, start, end in rows
    ]


def drawn(seed, folder):
    """Phrases with words in them, at random times."""
    rng, at, phrases, words = random.Random(seed), 0.0, [], []
    for i in range(12):
        start = at = at + rng.uniform(0, 2)
        for j in range(rng.randint(1, 5)):
            words.append(Annotation(f'w{i}<{j}> & "ŋ"', at, at := at + rng.uniform(0.01, 0.7)))
            at += rng.choice([0, 0.1])
        phrases.append(Annotation(f"phrase {i}", start, at))
    return Document(
        folder / "a.eaf", (Tier("words", tuple(words), parent="P"), Tier("P", tuple(phrases), "Amina")), ("a.wav",)
    )


@pytest.mark.parametrize("seed", range(5))
def test_what_is_written_is_read(tmp_path, seed):
    """To ELAN and back, and through Praat, within a millisecond; participants, parents and the recording too."""
    given, path = drawn(seed, tmp_path), tmp_path / "a.eaf"
    path.write_text(elan_writing.write(given), encoding="utf-8")
    (found,) = elan.read(path)
    assert {name: near(rows) for name, rows in spans(found).items()} == spans(given)
    assert {t.name: (t.parent, t.participant) for t in found.tiers} == {"P": ("", "Amina"), "words": ("P", "Amina")}
    assert found.media[0] == "./a.wav"
    grid = tmp_path / "a.TextGrid"
    grid.write_text(textgrid.write(found), encoding="utf-8")
    assert {name: near(rows) for name, rows in spans(textgrid.read(grid)[0]).items()} == spans(given)


def test_structure(tmp_path):
    """What ELAN and its schema ask for; also of a file that tiers were added to."""
    path = tmp_path / "a.eaf"
    for given in (drawn(0, tmp_path), Document(path, (), ()), Document(path, (Tier("x", ()),), ("a.wav", "b.wav"))):
        path.write_text(elan_writing.write(given), encoding="utf-8")
        check(path.read_bytes())
        check(elan_writing.add(path, drawn(1, tmp_path).tiers))


def test_a_recording_in_another_folder_is_found_from_the_file(tmp_path):
    """So that both folders may move together."""
    file, sound = tmp_path / "heard/a.eaf", tmp_path / "new/a.wav"
    text = elan_writing.write(Document(file, (), (str(sound),)))
    assert 'RELATIVE_MEDIA_URL="../new/a.wav"' in text and f'MEDIA_URL="{sound.as_uri()}"' in text


def test_another_reader_reads_the_same(tmp_path):
    """pympi-ling: times in milliseconds, texts, parents, participants and media of what is written and added."""
    pympi = pytest.importorskip("pympi", reason="pympi-ling is not installed")
    given, path = drawn(0, tmp_path), tmp_path / "a.eaf"
    path.write_text(elan_writing.write(given), encoding="utf-8")
    path.write_bytes(elan_writing.add(path, drawn(1, tmp_path).tiers))
    (ours,), theirs = elan.read(path), pympi.Eaf(str(path))
    assert set(theirs.get_tier_names()) == {t.name for t in ours.tiers} and len(ours.tiers) == 4
    for t in ours.tiers:
        rows = sorted((round(1000 * a.start), round(1000 * a.end), a.text) for a in t.annotations)
        assert sorted(row[:3] for row in theirs.get_annotation_data_for_tier(t.name)) == rows
        about = theirs.get_parameters_for_tier(t.name)
        parent = (about.get("PARENT_REF") or "", about.get("PARTICIPANT") or t.participant)
        assert parent == (t.parent, t.participant)
    assert [media["RELATIVE_MEDIA_URL"] for media in theirs.media_descriptors] == ["./a.wav"]


def lines_without(text, other):
    """The lines of one text that are not in the other, in order, if the rest is the other."""
    rest, more = iter(other.splitlines()), []
    wanted = next(rest, None)
    for line in text.splitlines():
        if line == wanted:
            wanted = next(rest, None)
        else:
            more.append(line)
    assert wanted is None
    return more


PROPERTY = '<PROPERTY NAME="lastUsedAnnotationId">7</PROPERTY>'


@pytest.mark.parametrize("slots", [[0, 900, None, 1900], []])
def test_tiers_are_added_and_nothing_else_changes(tmp_path, slots):
    """Names that are taken get a number, as do annotations and slots; twice added are twice there."""
    tiers = (
        [tier("phrases", ("a3", "moja", 1, 2), ("a9", "mbili", 2, 4), participant="A")] if slots else [tier("phrases")]
    )
    path = eaf(tmp_path / "a.eaf", *tiers, tier("x &amp; y"), slots=slots)
    text = path.read_text(encoding="utf-8").replace(
        "</HEADER>", f"{PROPERTY}</HEADER>\n<!-- </TIME_ORDER> <LINGUISTIC_TYPE> -->"
    )
    text = (
        text.replace("<TIME_ORDER></TIME_ORDER>", "<TIME_ORDER/>")
        .replace("/><", "/>\n<")
        .replace("</TIME_ORDER>", "\n</TIME_ORDER>")
    )
    path.write_text(text, encoding="utf-8")
    new = [
        Tier("phrases", (Annotation("tatu", 0.5, 1.0),)),
        Tier("words", (Annotation("ta", 0.5, 0.7),), parent="phrases"),
    ]
    for number in (2, 3):
        before = spans(elan.read(path)[0])
        path.write_bytes(elan_writing.add(path, new))
        (found,) = elan.read(path)
        words = "words" if number == 2 else "words 2"
        assert spans(found) == before | {f"phrases {number}": [("tatu", 0.5, 1.0)], words: [("ta", 0.5, 0.7)]}
        assert {t.name: t.parent for t in found.tiers}[words] == f"phrases {number}"
    after = path.read_text(encoding="utf-8")
    first = 10 if slots else 1
    assert f'Id">{first + 3}<' in after
    original = text.replace(PROPERTY, PROPERTY.replace("7", str(first + 3))).replace(
        "<TIME_ORDER/>", "<TIME_ORDER>\n    </TIME_ORDER>"
    )
    more = lines_without(after, original)
    assert sum("<TIER " in line for line in more) == 4 and sum("<TIME_SLOT " in line for line in more) == 8
    assert sum("<LINGUISTIC_TYPE " in line for line in more) == 2 and sum("<CONSTRAINT " in line for line in more) == 1


@pytest.mark.parametrize(("there", "begins"), [("./film.mp4", 0.0), ("./sound.wav", 2.0), ("./other.wav", 0.0)])
def test_each_recording_has_the_offset_that_the_file_gives_it(tmp_path, there, begins):
    """Where several are named, whichever is found; in rows of a corpus, segments to transcribe and tiers to add."""
    path, recording = tmp_path / "a.eaf", tmp_path / there
    eaf(path, tier("A", ("a1", "x", 1, 2)), slots=[0, 1000], media=[("", "./film.mp4"), ("", "./sound.wav")])
    path.write_text(path.read_text().replace('sound.wav"', 'sound.wav" TIME_ORIGIN="2000"'))
    recording.touch()
    assert spans(elan.read(path)[0]) == {"A": [("x", 0.0, 1.0)]}
    assert spans_of(recording, path, "A") == [(begins, begins + 1.0)]
    if there != "./other.wav":
        (row,) = read_rows([path], tmp_path)
        assert (Path(row.values["path"]), float(row.values["start"])) == (recording, begins)
        assert annotations_of(recording, tmp_path) == path
    path.write_bytes(elan_writing.add(path, [Tier("B", (Annotation("y", begins + 0.25, begins + 1.0),))], recording))
    assert spans(elan.read(path)[0])["B"] == [("y", 0.25, 1.0)] and 'TIME_VALUE="250"' in path.read_text()


def test_files_that_cannot_be_added_to_are_refused(tmp_path):
    path = eaf(tmp_path / "a.eaf", slots=[])
    text = path.read_text()
    path.write_bytes(text.replace("UTF-8", "UTF-16").encode("utf-16"))
    assert "not in UTF-8" in refusal(lambda: elan_writing.add(path, []), path)
    path.write_text(text.replace("milliseconds", "PAL-frames"))
    assert "its times are 'PAL-frames'" in refusal(lambda: elan_writing.add(path, []), path)


def test_eaf_to_manifest_to_eaf(tmp_path, capsys):
    """What a corpus takes from a file stands in the file that is made of it; the command converts both ways."""
    path = eaf(tmp_path / "a.eaf", tier("A", ("a1", "moja", 1, 2), ("a2", "mbili", 2, 3)), slots=[113, 957, 1999])
    rows = [(c.text, c.start, c.end) for c in custom.candidates(path, "sw", shares={"test": 1})]
    again = tmp_path / "b.eaf"
    again.write_text(
        elan_writing.write(Document(again, (Tier("A", tuple(Annotation(*row) for row in rows)),))), encoding="utf-8"
    )
    assert spans(elan.read(again)[0]) == spans(elan.read(path)[0])
    assert main(["tiers", str(path), "--out", str(tmp_path / "a.TextGrid")]) == 0
    assert main(["tiers", str(tmp_path / "a.TextGrid"), "--out", str(tmp_path / "c.eaf")]) == 0
    assert {k: near(v) for k, v in spans(elan.read(tmp_path / "c.eaf")[0]).items()} == spans(elan.read(path)[0])
    assert (
        main(["tiers", str(path), "--out", str(path)]) == 2 and "is an input of this command" in capsys.readouterr().err
    )
