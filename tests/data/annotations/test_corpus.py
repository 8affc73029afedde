"""Annotated recordings as a corpus: which tiers are read, what they are called, how they are split."""

from collections import Counter

import pytest

from serenanet_modules.cli import main
from serenanet_modules.data import asked, custom
from serenanet_modules.errors import UserError
from tests.support.eaf import eaf, tier
from tests.support.layouts import noise


@pytest.fixture
def corpus(tmp_path):
    """Four recordings of two people each, and a tier of notes."""
    for i in range(4):
        noise(tmp_path / f"rec{i}.wav", 3.0)
        eaf(
            tmp_path / f"rec{i}.eaf",
            tier("A", ("a1", f"habari {i}", 1, 2), ("a2", " ", 2, 3), participant=f"Amina{i}"),
            tier("B", ("b1", f"nzuri {i}", 1, 2), participant=f"Juma{i}"),
            tier("notes", ("n1", "loud", 1, 3), type="parts", parent="A"),
            slots=[500, 1500, 2750],
        )
    return tmp_path


def test_speakers_of_all_tiers_are_read_and_split(corpus):
    found = custom.candidates(corpus, "sw")
    assert Counter(c.speaker for c in found) == {f"{name}{i}": 1 for name in ("Amina", "Juma") for i in range(4)}
    assert len({(c.speaker, c.split) for c in found}) == 8 and {c.split for c in found} == {"train", "dev", "test"}
    first = found[0]
    assert (first.id, first.text, first.start, first.end) == ("rec0-A-0001", "habari 0", 0.5, 1.5)
    assert first.path == corpus / "rec0.wav"


@pytest.mark.parametrize(
    ("asked_for", "texts"),
    [
        ("B", ["nzuri 0"]),
        ("free", ["habari 0", "nzuri 0"]),
        ("Amina0", ["habari 0", "loud"]),
        ("[AB]", ["habari 0", "nzuri 0"]),
        ("parts", ["loud"]),
    ],
)
def test_tiers_are_asked_for_by_name_type_participant_or_pattern(corpus, asked_for, texts):
    found = custom.candidates(corpus / "rec0.eaf", "sw", shares={"test": 1}, tier=asked_for)
    assert [c.text for c in found] == texts
    assert found == asked.candidates(corpus / "rec0.eaf", "sw", options=[("tier", asked_for)])


def test_a_tier_that_is_not_there_or_not_clear_is_said(corpus):
    with pytest.raises(UserError, match=r"rec0.eaf: has no tier C with text; its tiers are A, B, notes"):
        custom.candidates(corpus, "sw", tier="C")
    with pytest.raises(UserError, match="as a regular expression it fails"):
        custom.candidates(corpus, "sw", tier="(")
    file = eaf(corpus / "two.eaf", tier("A", ("a1", "x", 1, 2)), tier("B", ("b1", "y", 1, 2)), slots=[0, 900])
    with pytest.raises(UserError, match="which of its tiers is transcribed: A, B\\? Say it with --tier"):
        custom.candidates(file, "sw")


def test_one_speaker_is_split_by_recording_and_that_is_said(corpus, caplog):
    found = custom.candidates(corpus, "sw", tier="B")
    assert {c.split for c in found} == {"train", "dev", "test"}
    (only,) = caplog.records
    assert "train has 50 % of the utterances, since there are only 4 speakers" in only.getMessage()
    for i in range(6):
        noise(corpus / f"rec{i}.wav", 3.0)
        eaf(
            corpus / f"rec{i}.eaf",
            tier("B", ("b1", f"a {i}", 1, 2), ("b2", "b", 2, 3), participant="N"),
            slots=[0, 800, 1600],
        )
    found = custom.candidates(corpus, "sw")
    assert len({(c.path, c.split) for c in found}) == 6
    assert "names 1 speaker, so it is split by recording" in caplog.text


def test_a_recording_in_two_formats_is_read_once(corpus, caplog):
    (corpus / "rec0.TextGrid").write_text("broken")
    assert len(custom.candidates(corpus, "sw")) == 8
    assert "rec0.eaf is read; rec0.TextGrid beside it is not" in caplog.text


def test_validate_and_tiers_as_a_user_calls_them(corpus, capsys):
    assert main(["validate", str(corpus), "--locale", "sw", "--tier", "A"]) == 0
    assert "4 utterances, read as Custom" in capsys.readouterr().out
    (corpus / "bad.eaf").write_text("<a>")
    assert main(["tiers", str(corpus)]) == 1
    out, error = capsys.readouterr()
    assert f"recording: {corpus / 'rec3.wav'}\n" in out and error.count("\n") == 1 and "bad.eaf" in error
    rows = [line.split() for line in out.splitlines() if line.startswith("  A ")]
    assert rows[0] == ["A", "free", "Amina0", "-", "2", "2.2", "9", "7", "0", "1"]
    (corpus / "rec3.wav").unlink()
    main(["tiers", str(corpus / "rec3.eaf")])
    assert "rec3.wav (missing)" in capsys.readouterr().out
