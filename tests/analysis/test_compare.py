"""Two runs side by side."""

import pytest

from serenanet_modules.analysis.compare import compare_runs, comparison_text, differing, first_difference
from serenanet_modules.analysis.folders import Result
from serenanet_modules.errors import UserError
from tests.support.results import hypothesis, make_result

GREEDY, BEAM = "decoder/greedy", "decoder/prefix-beam"


@pytest.fixture
def pair(tmp_path):
    """B mends three words of u000, spoils one of u003, and is like A elsewhere; only A has a beam on dev."""
    one, other = [4, 2, 2, 1, 3], [1, 2, 2, 2, 3]
    a = make_result(tmp_path / "a", "a", 1, {"dev": {GREEDY: one, BEAM: one}, "test": {GREEDY: one}})
    b = make_result(tmp_path / "b", "b", 1, {"dev": {GREEDY: one}, "test": {GREEDY: other}})
    return Result.read(a), Result.read(b)


def test_all_that_both_have(pair):
    lines = compare_runs(*pair)
    assert [(line.split, line.decoder, line.measure) for line in lines] == [
        (split, GREEDY, measure) for split in ("dev", "test") for measure in ("WER", "CER")
    ]
    same, better = lines[0], lines[2]
    assert same.comparison.p_value == 1.0 and same.rates == (24.0, 24.0)
    assert better.rates == (24.0, 20.0) and better.comparison.difference == pytest.approx(-0.04)
    assert 0.05 < better.comparison.p_value < 1, "two of five utterances prove nothing"


def test_one_of_them(pair):
    (line,) = compare_runs(*pair, "test", GREEDY, "CER")
    assert (line.split, line.measure) == ("test", "CER")
    with pytest.raises(
        UserError, match=r"no score of test average/greedy in common; both have dev decoder/greedy, test"
    ):
        compare_runs(*pair, "test", "average/greedy")


def test_where_they_differ(pair):
    """Those that B hears better first; ties in the number of errors are no difference."""
    line = compare_runs(*pair, "test", GREEDY, "WER")[0]
    assert differing(*pair, line, 10) == [("u000", 4, 1), ("u003", 1, 2)]
    assert differing(*pair, line, 1) == [("u000", 4, 1)]
    text = comparison_text(*pair, [line], 10)
    row = next(row for row in text.splitlines() if row.startswith("test "))
    assert row.split()[:6] == ["test", GREEDY, "WER", "24.00", "20.00", "-4.00"]
    assert "\nu003\n     REF  neno0 neno1" in text
    assert "\n  1  A    x neno1 neno2" in text and "\n  2  B    x x neno2" in text
    assert "u001" not in text and "u000" not in comparison_text(*pair, [line], 0)
    (same,) = compare_runs(*pair, "dev", GREEDY, "WER")
    assert "every utterance has the same number of WER errors" in comparison_text(*pair, [same], 3)


def test_each_by_its_own_scoring(tmp_path):
    """A model with CAR and one without are compared by what each is scored by, too."""
    ours = {"decoder/greedy": [3] * 9, "average/greedy": [1] * 9, "average/prefix-beam": [0] * 9}
    a = Result.read(make_result(tmp_path / "a", "a", 1, {"dev": ours}, scoring="average"))
    b = Result.read(make_result(tmp_path / "b", "b", 1, {"dev": {GREEDY: [2] * 9, BEAM: [2] * 9}}))
    found = {line.decoder: line.rates for line in compare_runs(a, b, measure="WER")}
    assert found == {
        GREEDY: (30.0, 20.0),
        "average/greedy ~ decoder/greedy": (10.0, 20.0),
        "average/prefix-beam ~ decoder/prefix-beam": (0.0, 20.0),
    }
    assert len(compare_runs(a, b, decoder="average/greedy ~ decoder/greedy")) == 2


def test_phones(tmp_path):
    """Phone error rates compare phonemes, and show them."""
    runs = [
        Result.read(make_result(tmp_path / name, name, 1, {"dev": {GREEDY: [n] * 4}}, phones=True))
        for name, n in (("a", 1), ("b", 2))
    ]
    (line,) = compare_runs(*runs)
    assert (line.measure, line.rates) == ("PER", (10.0, 20.0))
    assert "neno9\n  1  A" in comparison_text(*runs, [line], 1)


def test_nothing_to_compare(tmp_path, pair):
    other = make_result(tmp_path / "c", "c", 1, {"dev": {"car/greedy": [1] * 5}}, scoring="car")
    longer = make_result(tmp_path / "d", "d", 1, {"dev": {GREEDY: [1] * 6}})
    with pytest.raises(UserError, match="cannot be compared on dev: .* different utterances"):
        compare_runs(pair[0], Result.read(longer))
    lines = compare_runs(pair[0], Result.read(other))
    assert {line.decoder for line in lines} == {"decoder/greedy ~ car/greedy"}
    nothing = make_result(tmp_path / "e", "e", 1, {"dev": {"x/y": [1]}}, scoring="x")
    with pytest.raises(UserError, match="no score in common; they share no split and decoder"):
        compare_runs(pair[0], Result.read(nothing))
    with pytest.raises(UserError, match="has no result.json"):
        Result.read(tmp_path)
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(UserError, match="is not the result of a recogniser"):
        Result.read(tmp_path)


def test_the_first_epoch_that_differs(tmp_path):
    """By the hashes of the weights; runs of other lengths are compared as far as both go."""
    hashes = {"a": "abc", "b": "abc", "c": "axc", "longer": "abcd"}
    runs = {}
    for name, letters in hashes.items():
        history = [{"epoch": i, "weights": letter} for i, letter in enumerate(letters, start=1)]
        runs[name] = Result.read(make_result(tmp_path / name, name, 1, {"dev": {GREEDY: [1]}}, history=history))
    told = {name: first_difference(runs["a"], runs[name]) for name in ("b", "c", "longer")}
    assert told["b"] == "weights are equal after each of 3 epoch(s)"
    assert told["c"] == "weights differ from epoch 2 on"
    assert told["longer"] == "weights are equal after the first of 3 epoch(s)"
    lines = compare_runs(runs["a"], runs["c"])
    assert "weights differ from epoch 2 on" in comparison_text(runs["a"], runs["c"], lines, 0).splitlines()
    older = Result.read(make_result(tmp_path / "older", "older", 1, {"dev": {GREEDY: [1]}}, history=[{"epoch": 1}]))
    assert first_difference(runs["a"], older) == ""


def test_errors_that_are_only_a_space(tmp_path):
    """Of each run, where one has some and words are compared."""
    folders = [make_result(tmp_path / name, name, 1, {"test": {GREEDY: [0, 1]}}) for name in "ab"]
    file = folders[0] / "decoded_test.csv"
    right = f",{hypothesis(0)}\n"
    file.write_text(file.read_text().replace(right, right.replace("neno0 ", "neno0")))
    a, b = map(Result.read, folders)
    text = comparison_text(a, b, compare_runs(a, b), 0)
    assert f"A  test, {GREEDY}: 2 of 3 word errors (66.7 %) are only a space; WER without them 5.00" in text
    assert f"B  test, {GREEDY}: 0 of 1 word errors (0.0 %)" in text
    assert "only a space" not in comparison_text(a, b, compare_runs(a, b, measure="CER"), 0)
    assert "only a space" not in comparison_text(b, b, compare_runs(b, b), 0)
