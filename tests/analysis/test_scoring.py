"""Scores against sclite, and the rules that sclite has no say in."""

import math
import random
import re
import shutil
import subprocess

import numpy as np
import pytest

from serenanet_modules.analysis.bootstrap import compare, interval, resample
from serenanet_modules.analysis.scoring import (
    ErrorCounts,
    align,
    align_all,
    display_width,
    score,
    tokens,
    write_alignments,
)


def random_pairs(count, seed=0):
    """Sentences over small vocabularies, where equally cheap alignments abound."""
    draw = random.Random(seed)
    for _ in range(count):
        words = draw.choice(["ab", "abc", "abcd", "abcdefgh"])
        longest = draw.choice([3, 6, 12, 25])
        reference = draw.choices(words, k=draw.randint(0, longest))
        hypothesis = draw.choices(words + "x", k=draw.randint(0, longest))
        if draw.random() < 0.5:  # a hypothesis that is close, as real ones are
            hypothesis = [w for w in reference if draw.random() < 0.8]
        yield " ".join(reference), " ".join(hypothesis)


def sclite_operations(folder, pairs):
    """Operations of each pair as sclite prints them, C for a hit."""
    for side, name in enumerate(("ref", "hyp")):
        lines = [f"{pair[side]} (s_{i:05d})\n" for i, pair in enumerate(pairs)]
        (folder / f"{name}.trn").write_text("".join(lines))
    command = "sctk sclite -r ref.trn trn -h hyp.trn trn -i rm -o sgml stdout".split()
    out = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
    paths = re.findall(r'<PATH id="\(s_(\d+)\)"[^>]*>\n(.*)\n</PATH>', out)
    return {int(i): "".join(word[0] for word in path.split(":") if word) for i, path in paths}


@pytest.mark.skipif(not shutil.which("sctk"), reason="sclite (Debian: sctk) is not installed")
def test_alignments_equal_sclite_utterance_by_utterance(tmp_path):
    pairs = list(random_pairs(2000))
    theirs = sclite_operations(tmp_path, pairs)
    assert len(theirs) == len(pairs)
    ours = align_all([(r.split(), h.split()) for r, h in pairs])
    for i, alignment in enumerate(ours):
        assert alignment.operations.replace("=", "C") == theirs[i], pairs[i]


def test_ties_are_broken_as_sclite_breaks_them():
    # Pinned from sclite 2.10 (sctk 2.4.10), so that a machine without it notices a change as well.
    assert align("a b".split(), ["x"]) == [("D", "a", ""), ("S", "b", "x")]
    assert align(["a"], "x y".split()) == [("I", "", "x"), ("S", "a", "y")]
    # Three substitutions cost as much as two insertions and two deletions around a hit.
    assert [op for op, _, _ in align("a b c".split(), "x y a".split())] == ["S", "S", "S"]


def test_an_alignment_is_cheapest_and_spells_both_sides():
    for reference, hypothesis in random_pairs(200, seed=3):
        reference, hypothesis = reference.split(), hypothesis.split()
        columns = align(reference, hypothesis)
        assert [r for op, r, _ in columns if op != "I"] == reference
        assert [h for op, _, h in columns if op != "D"] == hypothesis
        assert all((r == h) == (op == "=") for op, r, h in columns if op in "=S")
        cost = sum({"=": 0, "S": 4, "D": 3, "I": 3}[op] for op, _, _ in columns)
        assert cost == plain_cost(reference, hypothesis)


def plain_cost(reference, hypothesis):
    row = [3 * j for j in range(len(hypothesis) + 1)]
    for r in reference:
        above, row = row, [row[0] + 3]
        for j, h in enumerate(hypothesis):
            row.append(min(above[j] + 4 * (r != h), above[j + 1] + 3, row[j] + 3))
    return row[-1]


def test_levels_count_what_they_say():
    assert tokens("  la \n la ", "word") == ["la", "la"]
    assert tokens("a  b", "char") == ["a", " ", "b"]
    assert score(["ab c"], ["abc"], "char").total == ErrorCounts(hits=3, deletions=1)
    assert score(["a | b a"], ["a b | a"], "phone").total == ErrorCounts(hits=3)
    with pytest.raises(ValueError, match="level"):
        tokens("a", "words")


def test_empty_references_and_hypotheses():
    result = score({"a": "", "b": "x y", "c": ""}, {"a": "u v", "b": "", "c": ""})
    assert result.per_utterance["a"] == ErrorCounts(insertions=2)
    assert result.per_utterance["b"] == ErrorCounts(deletions=2)
    assert result.per_utterance["c"] == ErrorCounts()
    assert result.per_utterance["a"].rate == 2.0
    assert result.per_utterance["c"].rate == 0.0
    assert result.total.rate == 2.0


def test_references_and_hypotheses_must_be_of_the_same_utterances():
    with pytest.raises(ValueError, match="'b'"):
        score({"a": "x", "b": "y"}, {"a": "x"})
    by_name = score({"a": "x", "b": "y"}, {"b": "y", "a": "z"})
    assert by_name.per_utterance["a"].errors == 1 and by_name.per_utterance["b"].errors == 0


def test_a_large_test_set():
    draw = random.Random(1)
    references = ["".join(draw.choices("abcdefgh", k=100)) for _ in range(4000)]
    hypotheses = ["".join(c for c in r if draw.random() < 0.9) for r in references]
    total = score(references, hypotheses, "char").total
    assert total.deletions == sum(map(len, references)) - sum(map(len, hypotheses))
    assert total.substitutions == total.insertions == 0


def test_alignment_file(tmp_path):
    references = {"u1": "lápom ɔ́ tó", "u2": " ".join(["neno"] * 60)}
    hypotheses = {"u1": "lápom tó umi", "u2": " ".join(["neno"] * 59)}
    write_alignments(tmp_path / "wer_test.txt", score(references, hypotheses))
    lines = (tmp_path / "wer_test.txt").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "%WER 4.76 [ 3 / 63, 1 ins, 2 del, 0 sub ]"
    assert lines[1] == "%SER 100.00 [ 2 / 2 ]"
    assert lines[3] == "u1, %WER 66.67 [ 2 / 3, 1 ins, 1 del, 0 sub ]"
    assert lines[4:7] == ["REF: lápom ɔ́ tó *", "HYP: lápom * tó umi", "           D    I"]
    assert max(map(display_width, lines)) <= 100
    assert sum(line.startswith("REF:") for line in lines) > 2  # one sentence, several blocks


def test_alignment_file_shows_spaces(tmp_path):
    write_alignments(tmp_path / "cer.txt", score(["a b"], ["ab"], "char"))
    assert "REF: a ␣ b" in (tmp_path / "cer.txt").read_text(encoding="utf-8")


def utterances(rate, count=400, length=20, seed=0):
    errors = np.random.default_rng(seed).binomial(length, rate, size=count)
    return {f"u{i}": ErrorCounts(length - int(e), int(e)) for i, e in enumerate(errors)}


def test_interval_has_the_width_that_theory_gives():
    low, high = interval(utterances(0.3).values())
    # Independent binomial words: the standard error of the rate is sqrt(p (1 - p) / words).
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt(0.3 * 0.7 / 8000), rel=0.15)
    assert low < 0.3 < high


def test_interval_is_seeded_and_does_not_depend_on_memory(monkeypatch):
    counts = list(utterances(0.3, count=50).values())
    first = interval(counts, replicates=500, seed=1)
    assert first == interval(counts, replicates=500, seed=1)
    assert first != interval(counts, replicates=500, seed=2)
    monkeypatch.setattr("serenanet_modules.analysis.bootstrap.CHUNK", 1000)
    assert first == interval(counts, replicates=500, seed=1)


def test_interval_of_one_utterance_and_of_none():
    assert interval([ErrorCounts(3, 1)]) == (0.25, 0.25)
    with pytest.raises(ValueError, match="no utterances"):
        interval([])


def test_comparison_finds_a_real_difference_and_not_a_chance_one():
    a = utterances(0.30, seed=0)
    better = compare(a, utterances(0.25, seed=1))
    assert better.p_value < 0.01 and better.high < 0 and better.improvement > 0.99
    assert compare(a, utterances(0.30, seed=5)).p_value > 0.05
    same = compare(a, a)
    assert same.p_value == 1.0 and same.difference == same.low == same.high == 0.0


def test_comparison_is_paired():
    # One word less wrong in each utterance is beyond chance, however much utterances differ.
    a = utterances(0.5, count=30, seed=3)
    b = {n: ErrorCounts(c.hits + 1, c.substitutions - 1) for n, c in a.items()}
    result = compare(a, b)
    assert result.difference == pytest.approx(-1 / 20)
    assert result.low == pytest.approx(result.high)
    with pytest.raises(ValueError, match="different utterances"):
        compare(a, utterances(0.5, count=29))
    with pytest.raises(ValueError, match="different references"):
        compare(a, utterances(0.5, count=30, length=19))


def test_seeds_are_pooled():
    """A system of several seeds is the mean of them on each utterance; how often a seed is given does not matter."""
    one, other = utterances(0.3, seed=0), utterances(0.25, seed=1)
    assert compare([one], other) == compare(one, [other]) == compare([one] * 3, [other] * 2) == compare(one, other)
    both = compare([one, other], one)
    assert both.difference == pytest.approx((rate(one) - rate(other)) / 2)
    assert compare([one, other], [other, one]).p_value == 1.0
    with pytest.raises(ValueError, match="different utterances"):
        compare([one, utterances(0.3, count=399)], other)
    with pytest.raises(ValueError, match="different references"):
        compare([one, utterances(0.3, length=19)], other)


def rate(counts):
    return sum(counts.values(), ErrorCounts()).rate


def test_seeds_that_disagree_by_chance_are_steadier_together():
    """Errors that fall on other utterances with each seed average out: the interval shrinks as the root of seeds."""
    seeds = [utterances(0.3, seed=n) for n in range(4)]
    drawn = resample([seeds[0], seeds])
    widths = [high - low for low, high in (drawn.interval(0), drawn.interval(1))]
    assert widths[1] == pytest.approx(widths[0] / 2, rel=0.15)
    # Errors that fall on the same utterances with each seed do not.
    same = resample([seeds[0], [seeds[0]] * 4])
    assert same.interval(0) == same.interval(1)


def test_all_systems_meet_the_same_test_sets():
    """A system among many has the interval and the comparison that it has alone with its reference."""
    systems = [utterances(0.3, seed=n) for n in range(3)]
    drawn = resample(systems)
    assert drawn.interval(2) == interval(systems[2].values())
    assert drawn.compare(0, 2) == compare(systems[0], systems[2])


def test_utterances_of_a_speaker_are_drawn_together():
    """As many test sets of whole speakers as there are: the spread is that of the speakers' rates."""
    errors = np.array([2, 6, 10]).repeat(5)  # of 20, by three speakers
    system = {f"u{i}": ErrorCounts(20 - int(e), int(e)) for i, e in enumerate(errors)}
    drawn = resample([system], of={f"u{i}": f"s{i // 5}" for i in range(15)})
    assert drawn.observed == [0.3] and set((60 * drawn.rates[0]).round(6)) == {6, 10, 14, 18, 22, 26, 30}
    assert drawn.rates.std() == pytest.approx(np.std([0.1, 0.3, 0.5]) / math.sqrt(3), rel=0.03)
