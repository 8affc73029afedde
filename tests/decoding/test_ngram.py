import math
import os
import shutil
import stat
import subprocess
import sys

import numpy as np
import pytest

from serenanet_modules.data.sentences import read_sentences
from serenanet_modules.decoding import kneser_ney, ngram
from serenanet_modules.decoding.arpa import NGram, perplexity
from serenanet_modules.decoding.kneser_ney import BOS, EOS, UNK, discounts, estimate
from serenanet_modules.errors import UserError

needs_irstlm = pytest.mark.skipif("irstlm" not in ngram.installed_tools(), reason="needs irstlm (Debian: irstlm)")


def markov_text(sentences: int, seed: int = 0) -> list[str]:
    """Sentences from a random second-order chain over 300 words, mixed with a Zipf unigram."""
    rng = np.random.default_rng(seed)
    size = 300
    zipf = 1 / np.arange(1, size + 1)
    zipf /= zipf.sum()
    successors = rng.choice(size, size=(7, size + 1, 12), p=zipf)
    texts = []
    for length in rng.integers(3, 13, size=sentences):
        before, last, words = size, size, []
        for chained in rng.random(length) < 0.7:
            choices = successors[before % 7, last] if chained else None
            word = rng.choice(choices) if chained else rng.choice(size, p=zipf)
            before, last = last, int(word)
            words.append(f"w{word}")
        texts.append(" ".join(words))
    return texts


@pytest.fixture(scope="module")
def text():
    return markov_text(3500)


@pytest.fixture(scope="module")
def arpa(text, tmp_path_factory):
    path = tmp_path_factory.mktemp("lm") / "own.arpa"
    assert ngram.estimate(text[:3000], 3, path, "own") == "own"
    return path


def total_probability(model: NGram, context: list[str]) -> float:
    state = model.start()
    for word in context:
        state, _ = model.score(state, word)
    words = [word for word in model.words if word not in (BOS, EOS)]
    total = sum(math.exp(model.score(state, word)[1]) for word in words)
    return total + math.exp(model.finish(state))


@pytest.mark.parametrize("context", ["", "w0", "w0 w1", "w3 w0 w2", "w299 w298", "unseen", "w0 no"])
def test_probabilities_sum_to_one(arpa, context):
    assert total_probability(NGram(arpa), context.split()) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("order", [2, 3, 6])
@pytest.mark.parametrize("texts", [["a"], ["a b", "b"], ["a b c d"] * 3, ["a a a a a a a a"]])
def test_tiny_text_makes_a_proper_model(texts, order, tmp_path):
    path = tmp_path / "tiny.arpa"
    ngram.estimate(texts, order, path, "own")
    model = NGram(path)
    for context in ([], ["a"], ["a", "b"], ["b", "a"], ["x"]):
        assert total_probability(model, context) == pytest.approx(1.0, abs=1e-5)


def test_every_order_is_that_of_chen_and_goodman():
    """Recomputed with dictionaries, straight from the formulas, for a bigram model."""
    sentences = [line.split() for line in markov_text(200, seed=1)]
    words, (unigrams, bigrams) = estimate(sentences, 2)
    counts, left = {}, {}
    for sentence in sentences:
        bounded = [BOS, *sentence, EOS]
        for pair in zip(bounded, bounded[1:], strict=False):
            counts[pair] = counts.get(pair, 0) + 1
            left.setdefault(pair[1], set()).add(pair[0])
    vocabulary = {UNK, *left}
    d1 = (0, *discounts(np.array([len(v) for v in left.values()])))
    d2 = (0, *discounts(np.array(list(counts.values()))))
    total = sum(map(len, left.values()))
    free = sum(d1[min(len(v), 3)] for v in left.values()) / total

    def unigram(word):
        seen = len(left.get(word, ()))
        return (seen - d1[min(seen, 3)]) / total + free / len(vocabulary)

    def bigram(first, word):
        row = {w: c for (f, w), c in counts.items() if f == first}
        freed = sum(d2[min(c, 3)] for c in row.values()) / sum(row.values())
        return (row[word] - d2[min(row[word], 3)]) / sum(row.values()) + freed * unigram(word)

    for number, logprob in zip(unigrams.word, unigrams.logprob, strict=True):
        if words[number] != BOS:
            assert 10**logprob == pytest.approx(unigram(words[number]))
    for row in range(0, len(bigrams.word), 25):
        first, word = words[bigrams.prefix[row]], words[bigrams.word[row]]
        assert 10 ** bigrams.logprob[row] == pytest.approx(bigram(first, word))


def closed_perplexity(arpa, texts) -> float:
    """Perplexity given that each word is a known one, so that the mass a model keeps for <unk> does not count."""
    model, total, tokens = NGram(arpa), 0.0, 0
    for text in texts:
        state = model.start()
        for word in text.split():
            known = -math.expm1(model.score(state, UNK)[1])
            state, logprob = model.score(state, word)
            total += logprob - math.log(known)
        known = -math.expm1(model.score(state, UNK)[1])
        total += model.finish(state) - math.log(known)
        tokens += len(text.split()) + 1
    return math.exp(-total / tokens)


def plain_counts(level, above):
    """What IRSTLM's "improved Kneser-Ney" uses at every order: occurrences."""
    return np.where(level.word == kneser_ney._BOS, 0, level.count)


@needs_irstlm
def test_held_out_perplexity_is_that_of_irstlm(text, arpa, tmp_path, monkeypatch):
    """Within 2 % either way, on the same words, from the same counts; and no worse as we count."""
    assert ngram.estimate(text[:3000], 3, tmp_path / "irstlm.arpa", "irstlm") == "irstlm"
    known = set(" ".join(text[:3000]).split())
    held_out = [line for line in text[3000:] if known.issuperset(line.split())]
    theirs = closed_perplexity(tmp_path / "irstlm.arpa", held_out)
    assert closed_perplexity(arpa, held_out) < 1.02 * theirs
    assert perplexity(arpa, text[3000:]).value < 1.02 * perplexity(tmp_path / "irstlm.arpa", text[3000:]).value

    monkeypatch.setattr(kneser_ney, "_adjusted", plain_counts)
    ngram.estimate(text[:3000], 3, tmp_path / "plain.arpa", "own")
    assert closed_perplexity(tmp_path / "plain.arpa", held_out) == pytest.approx(theirs, rel=0.02)


def test_perplexity_leaves_out_unknown_words(tmp_path):
    path = tmp_path / "lm.arpa"
    ngram.estimate(["a b", "a b", "b a"], 2, path, "own")
    model = NGram(path)
    state, first = model.score(model.start(), "a")
    state, unknown = model.score(state, "x")
    expected = math.exp(-(first + model.finish(state)) / 2)
    measured = perplexity(path, ["a x", ""])
    assert measured.value == pytest.approx(expected)
    assert (measured.words, measured.oov, measured.sentences) == (2, 1, 1)
    assert unknown < first


def test_unknown_words_can_have_another_price(tmp_path):
    path = tmp_path / "lm.arpa"
    ngram.estimate(["a b"], 2, path, "own")
    plain = NGram(path)
    dear = plain.with_unknown(-7.0)
    assert dear.score(dear.start(), "a")[1] == plain.score(plain.start(), "a")[1]
    assert dear.unigram("x") == -7.0 != plain.unigram("x")
    assert "a" in dear and "x" not in dear and UNK not in dear


def test_the_file_does_not_depend_on_the_hash_seed(tmp_path):
    script = (
        "import sys; from serenanet_modules.decoding import ngram; "
        "ngram.estimate(['b a', 'c a b', 'd ŋombe'], 3, sys.argv[1], 'own')"
    )
    for seed in "12":
        subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / seed)],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.getcwd()}, check=True,
        )  # fmt: skip
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_nothing_is_left_beside_the_file(tmp_path):
    ngram.estimate(["a b"], 2, tmp_path / "new" / "lm.arpa", "own")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["lm.arpa"]


def test_reads_files(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"habari {name}\n\nng'ombe {name}\n", encoding="utf-8")
    ngram.estimate(read_sentences([tmp_path / "one", tmp_path / "two"]), 2, tmp_path / "lm.arpa", "own")
    model = NGram(tmp_path / "lm.arpa")
    assert all(word in model for word in ("habari", "one", "two", "ng'ombe"))


def fake_tool(folder, script: str) -> None:
    folder.mkdir(exist_ok=True)
    tool = folder / "lmplz"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)


def test_auto_prefers_lmplz(tmp_path, arpa, monkeypatch):
    # The last argument of lmplz is the ARPA file.
    fake_tool(tmp_path / "bin", f'for last; do :; done; {shutil.which("cp")} "{arpa}" "$last"')
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert ngram.estimate(["w0 w1"], 3, tmp_path / "lm.arpa") == "lmplz"
    assert (tmp_path / "lm.arpa").read_bytes() == arpa.read_bytes()


def test_auto_goes_on_when_a_tool_fails(tmp_path, monkeypatch, caplog):
    fake_tool(tmp_path / "bin", "echo out of luck >&2; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("IRSTLM", str(tmp_path))
    assert ngram.estimate(["a b"], 2, tmp_path / "lm.arpa") == "own"
    assert "out of luck" in caplog.text
    with pytest.raises(UserError, match="lmplz could not .*out of luck"):
        ngram.estimate(["a b"], 2, tmp_path / "lm.arpa", "lmplz")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": 0}, "order 0"),
        ({"order": 7}, "from 2 to 6"),
        ({"tool": "srilm"}, "'srilm'"),
        ({"tool": "lmplz"}, "lmplz is not installed"),
        ({"texts": ["", "  "]}, "no words"),
        ({"texts": ["a <s> b"]}, "reserved word <s>"),
    ],
)
def test_bad_requests(options, message, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    request = {"texts": ["a b"], "order": 2, "path": tmp_path / "lm.arpa", "tool": "own"} | options
    with pytest.raises(UserError, match=message):
        ngram.estimate(**request)
    assert not list(tmp_path.iterdir())


def test_bad_files(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "text").write_text("no model")
    with pytest.raises(UserError, match="missing: cannot be read"):
        ngram.estimate(read_sentences([tmp_path / "missing"]), 2, tmp_path / "lm")
    with pytest.raises(UserError, match="UTF-8"):
        ngram.estimate(read_sentences([tmp_path / "binary"]), 2, tmp_path / "lm")
    with pytest.raises(UserError, match="no such language model"):
        NGram(tmp_path / "missing")
    for name in ("binary", "text"):
        with pytest.raises(UserError, match="cannot be read as an ARPA"):
            NGram(tmp_path / name)
