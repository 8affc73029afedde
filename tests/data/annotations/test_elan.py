"""What ELAN files say: when each annotation is, whose it is, and which recording it belongs to."""

import pytest

from serenanet_modules.data.annotations import elan
from serenanet_modules.data.annotations.media import Media
from serenanet_modules.errors import UserError
from tests.support.eaf import eaf, tier
from tests.support.refusals import refusal


def times(path, name):
    (document,) = elan.read(path)
    return {a.id: (a.start, a.end) for t in document.tiers if t.name == name for a in t.annotations}


def test_slots_without_a_time_divide_what_lies_between(tmp_path):
    """Within their own tier, whatever slots of others stand among theirs; before the first known one none is known."""
    path = eaf(
        tmp_path / "a.eaf",
        tier("A", ("a1", "x", 1, 2), ("a2", "y", 2, 4), ("a3", "z", 4, 6)),
        tier("B", ("b1", "u", 3, 5), ("b2", "v", 7, 8)),
        slots=[1000, None, 1500, None, 2500, 4000, None, 5000],
    )
    assert times(path, "A") == {"a1": (1.0, 2.0), "a2": (2.0, 3.0), "a3": (3.0, 4.0)}
    assert times(path, "B") == {"b1": (1.5, 2.5), "b2": (pytest.approx(3.75), 5.0)}
    path = eaf(tmp_path / "b.eaf", tier("A", ("a1", "x", 1, 2)), slots=[None, 900])
    (document,) = elan.read(path)
    assert not document.tiers[0].annotations[0].timed


def test_what_refers_to_annotations_has_their_time(tmp_path):
    """Subdivisions have equal parts in the order that they say, associations all of it, through several tiers."""
    path = eaf(
        tmp_path / "a.eaf",
        tier("Phrase", ("p1", "moja mbili", 1, 2), participant="Amina"),
        tier("Word", ("w2", "mbili", "p1", "w1"), ("w1", "moja", "p1"), type="words", parent="Phrase"),
        tier("Gloss", ("g1", "one", "w1"), ("g2", "two", "w2"), type="glosses", parent="Word"),
        slots=[1000, 3000],
    )
    assert times(path, "Word") == {"w1": (1.0, 2.0), "w2": (2.0, 3.0)}
    assert times(path, "Gloss") == {"g1": (1.0, 2.0), "g2": (2.0, 3.0)}
    (document,) = elan.read(path)
    assert [t.participant for t in document.tiers] == ["Amina"] * 3
    assert [t.parent for t in document.tiers] == ["", "Phrase", "Word"]


@pytest.mark.parametrize(
    ("tiers", "slots", "said"),
    [
        ([tier("A", parent="B"), tier("B", parent="A")], [], "is its own parent"),
        ([tier("A", parent="A")], [], "is its own parent"),
        ([tier("A", parent="B")], [], "the parent 'B' of the tier 'A' does not exist"),
        ([tier("A"), tier("A")], [], "two tiers 'A'"),
        ([tier("A", ("a1", "x", "a2"), ("a2", "x", "a1"))], [], "is its own parent"),
        ([tier("A", ("a1", "x", "a9"))], [], "'a9' is referred to but does not exist"),
        ([tier("A", ("a1", "x", 1, 2))], [0], "'ts2' is referred to but does not exist"),
        ([tier("A", ("a1", "x", 1, 2), ("a1", "y", 1, 2))], [0, 1], "'a1' twice"),
        ([tier("A", ("a1", "x", 1, 2))], [0, "soon"], "'soon' is no time"),
        ([tier("A", ("a1", "x", 1, 2))], [0, "1e400"], "'1e400' is no time"),
    ],
)
def test_what_cannot_be_is_one_sentence(tmp_path, tiers, slots, said):
    path = eaf(tmp_path / "a.eaf", *tiers, slots=slots)
    assert said in refusal(lambda: elan.read(path), path)


def wav(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"RIFF")
    return path


def found(path, audio_folder=None):
    (document,) = elan.read(path)
    return Media(audio_folder).find(document)


def test_recordings_are_found(tmp_path):
    """By relative path, by name beside the file or in ``audio_folder``, by the file's own stem; in any Unicode form."""
    here, other = tmp_path / "here", tmp_path / "other"
    here.mkdir()
    named = [("file:///C:/Users/X/Mto%20wa.wav", "../elsewhere/Mto wa.wav")]
    path = eaf(here / "a.eaf", tier("A", ("a1", "x", 1, 2)), slots=[0, 1], media=named)
    with pytest.raises(UserError, match="lies outside of its folder; say with --audio-folder"):
        found(path)
    assert found(path, wav(other / "notes.wav").parent) == here / "Mto wa.wav"  # which is not there
    assert found(path, wav(other / "deep" / "mto WA.wav").parents[1]) == other / "deep" / "mto WA.wav"
    stem = wav(here / "a.flac")
    assert found(path) == stem
    beside = wav(here / "Mto wa.wav")
    assert found(path, other) == found(path) == beside
    path = eaf(here / "b.eaf", tier("A", ("a1", "x", 1, 2)), slots=[0, 1], media=[("", "./sub/c\u0327a.wav")])
    assert found(path) == here / "c\u0327a.wav"
    inside = wav(here / "sub" / "c\u0327a.wav")
    assert found(path) == inside
    inside.unlink()
    assert found(path) == here / "c\u0327a.wav"
    assert found(path, wav(other / "\u00e7a.wav").parent) == other / "\u00e7a.wav"


def test_nothing_outside_is_read(tmp_path):
    """Neither an absolute path nor one that climbs leads out of the folder, though there is a file."""
    secret = wav(tmp_path / "secret.wav")
    folder = tmp_path / "in"
    folder.mkdir()
    for i, name in enumerate(
        (str(secret), f"file://{secret}", "../secret.wav", "x/../../secret.wav", "..\\secret.wav")
    ):
        path = eaf(folder / f"{i}.eaf", tier("A"), slots=[], media=[(name, name)])
        try:
            assert found(path) == folder / "secret.wav"
        except UserError as error:
            assert "lies outside" in str(error)
