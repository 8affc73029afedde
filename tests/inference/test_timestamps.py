"""Times are those of the path that CTC takes through the decoded labels, whatever decoded them."""

import numpy as np
import pytest
import torch

from serenanet_modules.data.audio import SAMPLE_RATE
from serenanet_modules.data.sources import Piece
from serenanet_modules.data.units import PhonemeUnits, train_units
from serenanet_modules.decoding.decoder import Hypothesis
from serenanet_modules.decoding.greedy import greedy
from serenanet_modules.inference.recognizer import Recognizer
from serenanet_modules.inference.timestamps import align, timed, word_groups
from tests.support.folders import make_random_result
from tests.support.presets import preset

CHARACTERS = train_units("char", ["ma ba"], None)


def peaked(path, size, share=0.9):
    """Log-probabilities (T, size) that give the labels of a path ``share`` each."""
    rest = (1 - share) / (size - 1)
    return torch.full((len(path), size), rest).scatter(1, torch.tensor(path).unsqueeze(1), share).log()


def edges(frames, seconds=0.04):
    return [seconds * i for i in range(frames + 1)]


# --- alignment --------------------------------------------------------------------------------------------------------


def test_greedy_labels_get_the_greedy_path():
    """Every label's span is where the best labels of the frames say it, its confidence their mean there."""
    torch.manual_seed(0)
    log_probs = (4 * torch.randn(200, 7)).log_softmax(-1)
    best = log_probs.argmax(-1)
    (labels,) = greedy(log_probs.unsqueeze(0), torch.tensor([200]))
    spans = align(log_probs, labels)
    path = torch.zeros(200, dtype=torch.long)
    for label, span in zip(labels, spans, strict=True):
        path[span.start : span.end] = label
        assert span.confidence == pytest.approx(log_probs[span.start : span.end, label].exp().mean().item(), abs=1e-6)
    assert torch.equal(path, best)


def test_other_labels_get_the_likeliest_path():
    """No other path through the labels is likelier: all are tried."""
    torch.manual_seed(0)
    log_probs, labels = torch.randn(6, 3).log_softmax(-1), [1, 1, 2]
    paths = torch.cartesian_prod(*[torch.arange(3)] * 6)
    collapsed = greedy(torch.nn.functional.one_hot(paths, 3), torch.full((len(paths),), 6))
    scores = {
        tuple(p.tolist()): log_probs[range(6), p].sum() for p, c in zip(paths, collapsed, strict=True) if c == labels
    }
    found = [0] * 6
    for label, span in zip(labels, align(log_probs, labels), strict=True):
        found[span.start : span.end] = [label] * (span.end - span.start)
    assert tuple(found) == max(scores, key=scores.get)


def test_more_labels_than_frames_are_spread():
    """What no CTC path can hold still gets frames, in order."""
    spans = align(torch.zeros(3, 5).log_softmax(-1), [1, 2, 2, 3, 4])
    assert len(spans) == 5 and all(0 <= span.start < span.end <= 3 for span in spans)
    assert [span.start for span in spans] == sorted(span.start for span in spans)


def test_impossible_labels_have_no_confidence():
    """Minus infinity is a log-probability too."""
    log_probs = torch.full((4, 3), -torch.inf)
    log_probs[:, 0] = 0.0
    assert [span.confidence for span in align(log_probs, [2, 1])] == [0, 0]


# --- words ------------------------------------------------------------------------------------------------------------


def test_words_of_characters():
    """Words end with their last letter; the mark of a word's beginning is a token and no part of it."""
    units, ids = CHARACTERS, CHARACTERS.encode("ma ba")
    path = [0, ids[0], ids[1], ids[1], ids[2], 0, ids[3], ids[4], 0, ids[5], 0]
    log_probs = peaked(path, units.size)
    segment = timed(Hypothesis(ids, "ma ba"), units, log_probs, edges(len(path)))
    assert [(w.text, w.start, w.end) for w in segment.words] == [("ma", 0.08, 0.2), ("ba", 0.28, 0.4)]
    assert "".join(token.text for token in segment.tokens) == " ma ba"
    assert (segment.start, segment.end, segment.text) == (0.08, 0.4, "ma ba")
    assert segment.confidence == pytest.approx(0.9) and segment.words[0].confidence == pytest.approx(0.9)


def test_confidence_of_a_word_is_the_geometric_mean_of_its_tokens():
    units = PhonemeUnits(["a", "b"])
    log_probs = torch.stack([peaked([2], 4, share)[0] for share in (0.4, 0.6, 0.5)])  # a: mean 0.5
    log_probs = torch.cat([log_probs, peaked([3], 4, 0.8), peaked([1], 4, 0.4)])
    segment = timed(Hypothesis([2, 3, 1], "a b |"), units, log_probs, edges(5))
    assert [token.confidence for token in segment.tokens] == pytest.approx([0.5, 0.8, 0.4])
    assert [w.confidence for w in segment.words] == pytest.approx([(0.5 * 0.8) ** 0.5])
    assert segment.confidence == pytest.approx((0.5 * 0.8) ** 0.5)


def test_words_of_a_lexicon_lie_where_their_spellings_do():
    units = PhonemeUnits(["a", "b", "k"])
    labels = units.encode("k a | | b a b")
    path = [labels[0], labels[1], labels[2], 0, labels[3], 0, *labels[4:]]
    hypothesis = Hypothesis(labels, "ca bab", ["ca", "bab"])
    segment = timed(hypothesis, units, peaked(path, units.size), edges(len(path), 1))
    assert [(w.text, w.start, w.end) for w in segment.words] == [("ca", 0, 2), ("bab", 6, 9)]


@pytest.mark.parametrize("kind", ["char", "bpe", "unigram"])
def test_words_are_those_of_the_text(kind):
    """Grouped units decode to the words of the sentence, unknown letters included."""
    texts = ["mama anakula", "ng'ombe wa baba", "baba anakula ng'ombe"]
    units = train_units(kind, texts, None if kind == "char" else 19)
    for text in (*texts, "mama xanakulax", "x"):
        ids = units.encode(text)
        words = [units.decode([ids[i] for i in group]) for group in word_groups(units, ids)]
        assert words == units.decode(ids).split()


# --- frames and seconds -----------------------------------------------------------------------------------------------


def check(transcript, gap=" "):
    """What holds for every transcript."""
    assert transcript.text == gap.join(segment.text for segment in transcript.segments)
    last = 0.0
    for segment in transcript.segments:
        assert last <= segment.start < segment.end <= transcript.duration
        last = segment.end
        for parts in (segment.words, segment.tokens):
            for part in parts:
                assert 0 <= part.start < part.end <= transcript.duration and 0 <= part.confidence <= 1
            assert all(one.end <= other.start for one, other in zip(parts, parts[1:], strict=False))
        assert (segment.words[0].start, segment.words[-1].end) == (segment.start, segment.end)


MODELS = {
    "stride": (preset("serenanet/small"), ()),
    "stride 2": (preset("serenanet/small"), (("output_stride", "2"),)),
    "learned chunks": (preset("hmamba/small"), (("encoder.read", "chunks"),)),
    "pooled chunks": (preset("hmamba_pooling/small"), (("encoder.read", "chunks"),)),
    "frames of chunks": (preset("hmamba_early/small"), ()),
}


@pytest.mark.parametrize("name", MODELS)
def test_times_of_every_kind_of_model(tmp_path, name):
    """Tokens of a long source stand in its time; in each frame's time the network was most sure of that token."""
    files, overrides = MODELS[name]
    recognizer = Recognizer.from_folder(make_random_result(tmp_path, files, *overrides, blank=2.0))
    rng = np.random.default_rng(0)
    loudness = np.repeat(rng.uniform(0, 0.3, 50), 13000)  # 40 s, so that there are two pieces
    samples = (loudness * rng.standard_normal(len(loudness))).astype(np.float32)
    short = samples[: 5 * SAMPLE_RATE + 77]
    found = recognizer.transcribe([short, samples])
    for transcript in found:
        check(transcript)
    assert len(found[1].segments) == 2 and len(found[1].tokens) > 20

    # the network's own output, frame by frame: which 10 ms of the input does an output frame stand for?
    output = recognizer.network.output([Piece(0.0, short)])
    if "chunks" in name and "frames" not in name:
        starts = output.extras.pictures["start"].values[0].nonzero().flatten().tolist()
    else:
        starts = list(range(int(output.lengths[0])))
    stride = recognizer.modules["model"].acoustic.frontend.output_stride
    best = output.log_probs("decoder")[0].argmax(-1).tolist()
    said = {0.01 * stride * start: label for start, label in zip(starts, best, strict=True)}
    for token, label in zip(found[0].tokens, greedy(output.log_probs("decoder"), output.lengths)[0], strict=True):
        (at,) = [start for start in said if abs(start - token.start) < 0.002]
        assert said[at] == label
