"""What should be transcribed next: what is doubtful, new and unlike the rest comes first."""

import csv
from pathlib import Path

import numpy as np
import pytest

from serenanet_modules import cli
from serenanet_modules.inference import ranking
from serenanet_modules.inference.ranking import COLUMNS, Item, Weights, grams, items, rank, whole

ALIKE, OTHER = np.array([1.0, 0.0]), np.array([0.0, 1.0])


def item(name, text="mama", confidence=0.5, sound=ALIKE, seconds=2.0):
    return Item(Path(name), 0.0, seconds, seconds, text, confidence, sound)


def order(found, known=(), **weights):
    return [
        c.item.path.name
        for c in rank(found, set(known), Weights(**{"doubt": 0, "novelty": 0, "distance": 0} | weights))
    ]


def test_doubt():
    """What is probably wrong comes first, by its place among all."""
    found = [item("sure", confidence=0.99), item("doubtful", confidence=0.1), item("between")]
    assert order(found, doubt=1) == ["doubtful", "between", "sure"]


def test_novelty():
    """Trigrams that no transcript has had count, and those of what was chosen count no more."""
    found = [item("known", "mama"), item("new", "zuwena"), item("new again", "zuwena"), item("newer", "kipepeo")]
    choices = rank(found, grams(["mama"]), Weights(0, 1, 0))
    assert {c.item.path.name for c in choices[:2]} in ({"new", "newer"}, {"new again", "newer"})
    assert [c.novelty for c in choices] == [1, 1, 0, 0]


def test_distance():
    """One of each sound comes before a second of any."""
    found = [item("a"), item("b"), item("c", sound=OTHER), item("d")]
    first, second, *_ = rank(found, set(), Weights(0, 0, 1))
    assert {first.item.sound[0], second.item.sound[0]} == {0.0, 1.0} and second.distance == pytest.approx(1)


def test_the_greedy_choice_is_the_best_each_time():
    """As by scores that are made anew for all that are left, after every choice."""
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("abc"), 6)) for _ in range(12)]
    found = [item(str(i), text, rng.random(), rng.standard_normal(4)) for i, text in enumerate(texts)]
    known, chosen, sounds = grams(texts[:2]), [], ranking._directions(found)
    doubt = ranking._by_rank([-i.confidence for i in found])
    while len(chosen) < len(found):
        covered = set(known).union(*(found[i].grams for i in chosen))

        def score(i, covered=covered):
            distance = min([(1 - sounds[i] @ sounds[j]) / 2 for j in chosen], default=1.0)
            return doubt[i] + len(found[i].grams - covered) / len(found[i].grams) + distance

        chosen.append(max((i for i in range(len(found)) if i not in chosen), key=score))
    assert [c.item.path.name for c in rank(found, known, Weights(1, 1, 1))] == [str(i) for i in chosen]


def test_so_much_is_wanted():
    """As few as are enough, and all where there is less; of nothing, nothing."""
    found = [item(str(i), seconds=2.0) for i in range(5)]
    assert [len(rank(found, set(), seconds=s)) for s in (3.0, 4.0, 100.0)] == [2, 2, 5]
    assert rank([], set()) == []


def test_pieces_of_a_recording_as_one():
    """Confidence and sound are means over its seconds, its text is theirs."""
    found = whole([item("a", "mama", 0.8, ALIKE, 3.0), item("a", "", 0.0, OTHER, 1.0)])
    assert (found.text, found.seconds, found.confidence) == ("mama", 4.0, pytest.approx(0.6))
    np.testing.assert_allclose(found.sound, [0.75, 0.25])


def test_the_command(tiny, recognizer, clips, tmp_path, capsys):
    """It hears what `transcribe` hears, and what cannot be read is named; of nothing no table is written."""
    (tmp_path / "none.mp3").write_bytes(b"no sound")
    out = tmp_path / "next.tsv"
    line = ["rank", tiny[1], *clips[:3], tmp_path / "none.mp3", "--out", out, "--seconds", 1, "--doubt", 1]
    assert cli.main([*map(str, line)]) == 1
    told = capsys.readouterr()
    assert "none.mp3" in told.err and "1 of 3 pieces" in told.out
    (row,) = csv.DictReader(out.open(encoding="utf-8", newline=""), delimiter="\t")
    heard = recognizer.transcribe(row["path"])
    assert tuple(row) == COLUMNS and row["text"] == heard.text
    assert float(row["confidence"]) == pytest.approx(heard.segments[0].confidence, abs=1e-3)
    assert float(row["score"]) == pytest.approx(float(row["doubt"]) + float(row["distance"]), abs=2e-3)
    before = out.read_bytes()
    names = [tmp_path / "misspelt", tmp_path / "misspelt, too"]
    for audio, status, what in (
        (names[:1], 2, "misspelt: there is no such file or folder\n"),
        (names, 2, "misspelt: there is no such file or folder; none of the 2 recordings is there\n"),
        ([tmp_path / "none.mp3"], 1, "none.mp3: "),
    ):
        assert cli.main([*map(str, ["rank", tiny[1], *audio, "--out", out])]) == status
        told = capsys.readouterr()
        assert what in told.err and told.err.count("\n") == 1 and not told.out and out.read_bytes() == before
    found = [pieces for pieces in items(recognizer, clips[:3])]
    assert [pieces[0].text for pieces in found] == [t.text for t in recognizer.transcribe(clips[:3])]
