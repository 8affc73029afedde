import itertools
import math
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch

from serenanet_modules.decoding import cpp, ngram
from serenanet_modules.decoding.arpa import NGram
from serenanet_modules.decoding.beam import BeamDecoder
from serenanet_modules.decoding.decoder import different
from serenanet_modules.decoding.greedy import collapse
from serenanet_modules.decoding.lexicon import Lexicon
from serenanet_modules.decoding.rows import Outputs, Row
from serenanet_modules.decoding.search import Limits, PlainSearch
from serenanet_modules.decoding.words import Words
from serenanet_modules.errors import UserError
from tests.support.fake_units import FakeUnits, phonemes, pieces
from tests.support.word_scores import sentence_score

NO_PRUNING = {
    "beam_size": 100_000,
    "beam_size_token": 100,
    "beam_threshold": 1e9,
    "token_threshold": 1e9,
}
WEIGHTS = {"lm_weight": 0.7, "word_score": 0.3}
SPELLINGS = {"ab": [[1, 2]], "a": [[1]], "aa": [[1, 1]], "ba": [[2, 1]], "bar": [[2, 1], [2]]}


@pytest.fixture(scope="module")
def word_lm(tmp_path_factory):
    path = tmp_path_factory.mktemp("lm") / "words.arpa"
    ngram.estimate(["a ab abb", "ab a a", "ba a", "ab ab", "aa ba b"], 3, path, "own")
    return path


@pytest.fixture(params=["compiled", "plain"])
def either(request, monkeypatch):
    """Both searches in turn."""
    if request.param == "plain":
        monkeypatch.setenv("SERENANET_OPS_BACKEND", "torch")
    elif reason := cpp.why_not():
        pytest.skip(reason)


def posteriors(frames, size=4, seed=0, sharpness=1.0):
    logits = sharpness * np.random.default_rng(seed).normal(size=(frames, size))
    log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return log_probs.astype(np.float32)


def rows_of(utterances):
    """As a decoder gets kept utterances."""
    return [Row(1.0, torch.from_numpy(log_probs), None) for log_probs in utterances]


def brute_force(log_probs):
    """ln p of every label sequence: the sum over all paths that collapse to it."""
    frames, size = log_probs.shape
    totals = {}
    for path in itertools.product(range(size), repeat=frames):
        labels = tuple(collapse(path)[0])
        score = sum(float(log_probs[t, label]) for t, label in enumerate(path))
        totals[labels] = np.logaddexp(totals.get(labels, -np.inf), score)
    return totals


def assert_scores(found, expected):
    """The same keys with the same scores."""
    assert found.keys() == expected.keys()
    difference = max(abs(found[key] - expected[key]) for key in found)
    print(f"{len(found)} sequences, largest difference {difference:.1e}")
    assert difference < 1e-5


def assert_same(hypotheses, expected):
    """The same hypotheses with the same scores, best first."""
    found = {tuple(hypothesis.labels): hypothesis.score for hypothesis in hypotheses}
    assert len(found) == len(hypotheses)
    assert_scores(found, expected)
    scores = [hypothesis.score for hypothesis in hypotheses]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_without_a_model_every_score_is_the_sum_over_paths(frames, either):
    log_probs = posteriors(frames)
    hypotheses = BeamDecoder(pieces(), **NO_PRUNING).nbest(log_probs, 10_000)
    assert_same(hypotheses, brute_force(log_probs))
    assert np.logaddexp.reduce([h.score for h in hypotheses]) == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize("units", [pieces(), phonemes()])
@pytest.mark.parametrize("seed", [0, 1])
def test_word_model_is_applied_to_whole_words(units, seed, word_lm, either):
    log_probs = posteriors(5, seed=seed)
    words = Words(units, NGram(word_lm), None, **WEIGHTS)
    expected = {
        labels: score + sentence_score(words, units.decode(labels).split())
        for labels, score in brute_force(log_probs).items()
    }
    assert_same(BeamDecoder(units, word_lm, **WEIGHTS, **NO_PRUNING).nbest(log_probs, 10_000), expected)


@pytest.mark.parametrize("lm", [False, True])
def test_hotwords_score_more(lm, word_lm, either):
    """Known to the model or not, and nothing else does; their shares while they are unfinished come to nothing."""
    units, log_probs, hotwords = pieces(), posteriors(5), {"ab": 1.5, "bb": 0.7}
    ngram_ = NGram(word_lm) if lm else None
    words = Words(units, ngram_, None, **WEIGHTS, hotwords=hotwords)
    expected = {
        labels: score + sentence_score(words, units.decode(labels).split())
        for labels, score in brute_force(log_probs).items()
    }
    decoder = BeamDecoder(units, word_lm if lm else None, **WEIGHTS, **NO_PRUNING, hotwords=hotwords)
    assert_same(decoder.nbest(log_probs, 10_000), expected)


def lexicon_brute_force(log_probs, score_words):
    """ln p of every word sequence: over its spellings, and boundaries in any number ≥ 1 between.

    A spelling shared by two words counts for both.
    """
    words_of = {}
    for word, variants in SPELLINGS.items():
        for spelling in variants:
            words_of.setdefault(tuple(spelling), []).append(word)
    totals = {}
    for labels, score in brute_force(log_probs).items():
        groups = [tuple(g) for bar, g in itertools.groupby(labels, lambda x: x == 3) if not bar]
        for words in itertools.product(*(words_of.get(group, []) for group in groups)):
            totals[words] = np.logaddexp(totals.get(words, -np.inf), score)
    return {words: score + score_words(words) for words, score in totals.items()}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_lexicon_without_a_model(seed, either):
    log_probs = posteriors(5, seed=seed)
    decoder = BeamDecoder(phonemes(), lexicon=Lexicon(SPELLINGS), word_score=0.3, **NO_PRUNING)
    found = {tuple(h.text.split()): h.score for h in decoder.nbest(log_probs, 10_000)}
    assert_scores(found, lexicon_brute_force(log_probs, lambda words: 0.3 * len(words)))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_lexicon_with_a_word_model(seed, word_lm, either):
    log_probs = posteriors(5, seed=seed)
    decoder = BeamDecoder(phonemes(), word_lm, lexicon=Lexicon(SPELLINGS), **WEIGHTS, **NO_PRUNING)
    words = Words(phonemes(), NGram(word_lm), Lexicon(SPELLINGS), **WEIGHTS)
    found = {tuple(h.text.split()): h.score for h in decoder.nbest(log_probs, 10_000)}
    expected = lexicon_brute_force(log_probs, lambda sentence: sentence_score(words, sentence))
    assert_scores(found, expected)


def test_lexicon_chooses_the_likelier_homophone(tmp_path):
    ngram.estimate(["two cups", "too much", "too late"], 2, tmp_path / "lm", "own")
    units = FakeUnits(["<blank>", "t", "u", "m", "k", "|"], "|")
    lexicon = Lexicon({"two": [[1, 2]], "too": [[1, 2]], "much": [[3]], "cups": [[4]]})
    decoder = BeamDecoder(units, tmp_path / "lm", lexicon=lexicon, lm_weight=1.0)
    texts = []
    for last in (3, 4):
        path = [1, 1, 2, 2, 2, 0, 5, 5, last, last]
        texts.append(decoder.best(np.eye(6, dtype=np.float32)[path] * 9 - 9).text)
    assert texts == ["too much", "two cups"]


def test_the_last_phoneme_may_be_long(either):
    decoder = BeamDecoder(phonemes(), lexicon=Lexicon({"ab": [[1, 2]], "a": [[1]]}))
    log_probs = np.log(np.eye(4, dtype=np.float32)[[0, 1, 1, 2, 2, 2]] + 1e-6)
    best = decoder.best(log_probs)
    assert (best.text, best.labels) == ("ab", [1, 2])
    assert best.score == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize("lexicon", [None, Lexicon(SPELLINGS)])
def test_a_weight_of_zero_is_no_model(lexicon, word_lm):
    log_probs = posteriors(30, seed=3, sharpness=3.0)
    options = {"lexicon": lexicon, "beam_size": 200, "beam_threshold": 100.0}
    with_model = BeamDecoder(phonemes(), word_lm, lm_weight=0.0, word_score=0.0, **options).nbest(log_probs, 3)
    without = BeamDecoder(phonemes(), lm_weight=0.0, **options).nbest(log_probs, 3)
    assert [h.text for h in with_model] == [h.text for h in without]
    assert [h.score for h in with_model] == pytest.approx([h.score for h in without], abs=1e-3)


def test_repeats_and_blanks_are_no_labels(word_lm):
    path = [0, 0, 1, 1, 0, 2, 2, 0, 0, 3, 1, 0]
    log_probs = np.log(np.eye(4, dtype=np.float32)[path] + 1e-5)
    best = BeamDecoder(pieces(), word_lm, lm_weight=0.1).best(log_probs)
    assert (best.labels, best.text, best.words) == ([1, 2, 3, 1], "ab a", None)


def test_a_lexicon_search_says_its_words(word_lm):
    """Where the spelling alone does not: words of its own, which are the text, of labels that spell them."""
    decoder = BeamDecoder(phonemes(), word_lm, lexicon=Lexicon(SPELLINGS))
    for seed in range(20):
        best = decoder.best(posteriors(25, seed=seed, sharpness=2.0))
        assert best.labels and best.words and set(best.words) <= set(SPELLINGS)
        assert best.text == " ".join(best.words)


def test_names(word_lm):
    """As result.json lists error rates; of what a lexicon search writes, words are counted."""
    options = {"scoring": "average"}
    assert BeamDecoder(pieces(), **options).name == "average/prefix-beam"
    assert BeamDecoder(pieces(), word_lm, **options).name == "average/prefix-beam+lm"
    lexicon = BeamDecoder(phonemes(), word_lm, lexicon=Lexicon(SPELLINGS))
    assert lexicon.name == "decoder/lexicon-beam+lm" and lexicon.writes_words


@pytest.mark.parametrize("lexicon", [None, Lexicon(SPELLINGS)])
@pytest.mark.parametrize("frames", [0, 1, 40])
def test_nothing_said(lexicon, frames, word_lm, either):
    log_probs = np.full((frames, 4), -np.inf, dtype=np.float32)
    log_probs[:, 0] = 0.0
    best = BeamDecoder(phonemes(), word_lm, lexicon=lexicon, lm_weight=1.0).best(log_probs)
    assert (best.labels, best.text) == ([], "")
    model = NGram(word_lm)
    assert best.score == pytest.approx(model.finish(model.start()), abs=1e-4)


def test_no_whole_word_fits(either):
    """Where no word can end, the words before are kept."""
    decoder = BeamDecoder(phonemes(), lexicon=Lexicon({"ab": [[1, 2]]}))
    log_probs = np.full((5, 4), -1e9, dtype=np.float32)
    log_probs[range(5), [1, 2, 3, 1, 1]] = 0.0
    assert decoder.best(log_probs).text in ("ab", "ab ab")


def test_frames_that_no_word_allows_are_left_out(either):
    """The blank is not among the labels tried either."""
    decoder = BeamDecoder(phonemes(), lexicon=Lexicon({"a": [[1]]}), beam_size_token=1)
    log_probs = np.log(np.eye(4, dtype=np.float32)[[2, 1, 2, 2]] + 1e-4)
    assert decoder.best(log_probs).text == "a"


def test_batch_equals_single_and_ignores_padding(word_lm):
    decoder = BeamDecoder(pieces(), word_lm)
    lengths = [40, 0, 13, 1]
    singles = [posteriors(n, seed=i, sharpness=2.0) for i, n in enumerate(lengths)]
    batch = torch.full((4, 40, 4), float("nan"))
    for row, single in zip(batch, singles, strict=True):
        row[: len(single)] = torch.from_numpy(single)
    together = decoder.decode(Outputs({"decoder": batch}), torch.tensor(lengths))
    assert together == [decoder.best(single) for single in singles]
    assert together == decoder.decode_rows(rows_of(singles))


@pytest.mark.parametrize("lexicon", [None, Lexicon(SPELLINGS)])
def test_threads_keep_the_order(lexicon, word_lm):
    decoder = BeamDecoder(phonemes(), word_lm, lexicon=lexicon)
    utterances = [posteriors(20, seed=i, sharpness=2.0) for i in range(9)]
    batch, lengths = Outputs({"decoder": torch.from_numpy(np.stack(utterances))}), [20 - i for i in range(9)]
    utterances = [utterance[:length] for utterance, length in zip(utterances, lengths, strict=True)]
    rows, lists = rows_of(utterances), [different(decoder.nbest(utterance, 6), 3) for utterance in utterances]
    for jobs in (1, 2, 3):
        assert decoder.decode_rows(rows, jobs=jobs) == [found[0] for found in lists]
        assert replace(decoder, jobs=jobs).listed(batch, lengths, 3) == lists


@pytest.mark.skipif(cpp.why_not() is not None, reason="needs a C++ compiler")
@pytest.mark.parametrize(
    "units, lexicon", [(phonemes(), None), (phonemes(), Lexicon(SPELLINGS)), (pieces(), None)], ids=["", "lexicon", "▁"]
)
def test_the_plain_search_finds_what_the_compiled_one_finds(units, lexicon, word_lm):
    """With all kinds of pruning, hotwords and weights, in n-best lists, to rounding."""
    for seed, lm in itertools.product(range(6), (None, word_lm)):
        weights = WEIGHTS | ({"lm_weight": -0.2} if seed == 4 else {"hotwords": {"ab": 2.0}} if seed > 2 else {})
        words = Words(units, NGram(lm) if lm else None, lexicon, **weights)
        limits = Limits(
            *[(32, 16, 14.0, 7.0), (4, 3, 9.0, 4.0), (100, 4, math.inf, math.inf)][seed % 3], held=[2**18, 9][seed % 2]
        )
        log_probs = posteriors(25, seed=seed, sharpness=2.0)
        plain, compiled = PlainSearch(words, limits)(log_probs, 10), cpp.CompiledSearch(words, limits)(log_probs, 10)
        assert plain and [found[1:] for found in plain] == [found[1:] for found in compiled]
        assert [found.score for found in plain] == pytest.approx([found.score for found in compiled], abs=1e-9)


def test_an_unknown_word_pays_as_soon_as_no_word_begins_so(word_lm):
    """In advance of its end, and in all no more than then."""
    units = pieces()
    words = Words(units, NGram(word_lm), None, **WEIGHTS)
    contexts = [words.start()]
    for label in units.encode("▁a b b b ▁a"):
        contexts.append(words.extend(contexts[-1], label))
    begun, _, known, unknown, after = [context.base + context.ahead for context in contexts[1:]]
    assert known == pytest.approx(words.lm_weight * NGram(word_lm).unigram("abb") + words.word_score)
    off = contexts[4]
    logprob = words.ngram.step(words.ngram.start(), 0)[1]
    assert off.tree < 0 and unknown == pytest.approx(words.lm_weight * (logprob + off.spelled)) and off.spelled < -0.1
    assert begun >= known
    rest = after - contexts[-1].ahead - unknown
    end = words.letters.step(contexts[-2].spelling, words.letters.end)[1]
    assert rest == pytest.approx(words.lm_weight * end)


@pytest.mark.skipif(cpp.why_not() is not None, reason="needs a C++ compiler")
@pytest.mark.parametrize("kind", [PlainSearch, cpp.CompiledSearch])
@pytest.mark.parametrize("spelt", [True, False])
def test_what_is_dropped_changes_nothing(word_lm, kind, spelt):
    """Beginnings that no hypothesis goes on from are dropped after each frame, or never: the same lists."""
    units = phonemes() if spelt else pieces()
    lexicon = Lexicon(SPELLINGS) if spelt else None
    words = Words(units, NGram(word_lm), lexicon, **WEIGHTS)
    for seed in range(4):
        log_probs = posteriors(60, seed=seed)
        kept, dropped = (kind(words, Limits(8, 4, 12.0, math.inf, held))(log_probs, 8) for held in (2**18, 1))
        # of a word that is spelled in several ways the labels are those of one
        kept, dropped = ([(f.score, f.words if spelt else f.labels) for f in found] for found in (kept, dropped))
        assert dropped == kept and len(kept) > 5


def test_memory_is_that_of_the_hypotheses(word_lm):
    """Not that of all that was tried: less than half of it in 300 frames of noise."""
    words, peaks = Words(pieces(), NGram(word_lm), None, **WEIGHTS), []
    for held in (2**18, 50):
        tracemalloc.start()
        PlainSearch(words, Limits(8, 4, 12.0, math.inf, held))(posteriors(300, seed=1), 1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] / 2


def test_other_weights_leave_the_first_decoder_alone(word_lm):
    log_probs = posteriors(20)
    decoder = BeamDecoder(pieces(), word_lm, lm_weight=0.5)
    before = decoder.best(log_probs)
    fresh = BeamDecoder(pieces(), word_lm, lm_weight=3.0, word_score=1.0)
    assert decoder.with_weights(3.0, 1.0).best(log_probs) == fresh.best(log_probs) != before
    assert decoder.best(log_probs) == before


def test_a_wider_beam_finds_no_worse_score(word_lm):
    log_probs = posteriors(40, seed=5)
    scores = [BeamDecoder(pieces(), word_lm, beam_size=size).best(log_probs).score for size in (1, 8, 1000)]
    assert scores[0] <= scores[1] + 1e-6 <= scores[2] + 2e-6
    assert math.isfinite(scores[0])


def test_labels_below_the_token_threshold_are_not_tried(word_lm):
    log_probs = np.log(np.array([[0.1, 0.8, 0.08, 0.02], [0.96, 0.01, 0.02, 0.01]], np.float32))
    for lm in (None, word_lm):
        decoder = BeamDecoder(pieces(), lm, token_threshold=3.0)
        found = {tuple(hypothesis.labels) for hypothesis in decoder.nbest(log_probs, 100)}
        assert found == {(), (1,), (2,)}
    # Blank alone is left in the second frame, and 0.02 is more than 3 below 0.8 in the first.


def test_usual_pruning_loses_little(word_lm):
    for seed in range(10):
        log_probs = posteriors(20, seed=seed, sharpness=4.0)
        best = BeamDecoder(pieces(), word_lm, **WEIGHTS).best(log_probs)
        wide = BeamDecoder(pieces(), word_lm, **WEIGHTS, **NO_PRUNING | {"beam_size": 500})
        assert wide.best(log_probs).score - 1.0 < best.score < wide.best(log_probs).score + 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"units": pieces(), "lexicon": Lexicon({"a": [[1]]})}, "word boundary of their own"),
        ({"lexicon": Lexicon({"a": [[1, 3]]})}, "'a' is spelled with unit 3"),
        ({"lexicon": Lexicon({"a": [[9]]})}, "not among the 4 units"),
        ({"lm": "missing.arpa"}, "missing.arpa: no such"),
        ({"hotwords": {"ax": 1.0}}, "Hotword 'ax': .* lack 'x'"),
        ({"lexicon": Lexicon({"a": [[1]]}), "hotwords": {"b": 1.0}}, "Hotword 'b': is not in"),
        ({"beam_size": 0}, "beam_size 0"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(UserError, match=message):
        BeamDecoder(**({"units": phonemes()} | options))


def test_bad_log_probs():
    decoder = BeamDecoder(phonemes())
    with pytest.raises(ValueError, match="other units"):
        decoder.best(np.zeros((3, 5), dtype=np.float32))
    with pytest.raises(ValueError, match="NaN"):
        decoder.best(np.full((3, 4), np.nan, dtype=np.float32))
    with pytest.raises(UserError, match="jobs 0"):
        decoder.decode_rows([], jobs=0)
