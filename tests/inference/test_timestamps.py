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
from serenanet_modules.inference.timestamps import timed
from tests.support.folders import make_random_result
from tests.support.presets import preset

CHARACTERS = train_units("char", ["ma ba"], None)


def peaked(path, size, share=0.9):
    """Log-probabilities (T, size) that give the labels of a path ``share`` each."""
    rest = (1 - share) / (size - 1)
    return torch.full((len(path), size), rest).scatter(1, torch.tensor(path).unsqueeze(1), share).log()


def edges(frames, seconds=0.04):
    return [seconds * i for i in range(frames + 1)]


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


def test_confidences_without_a_map():
    """A word's is the geometric mean of its tokens', a segment's the mean of its words'."""
    units = PhonemeUnits(["a", "b"])
    log_probs = torch.stack([peaked([2], 4, share)[0] for share in (0.4, 0.6, 0.5)])  # a: mean 0.5
    log_probs = torch.cat([log_probs, peaked([3], 4, 0.8), peaked([1], 4, 0.4)])
    segment = timed(Hypothesis([2, 3, 1], "a b |"), units, log_probs, edges(5))
    assert [token.confidence for token in segment.tokens] == pytest.approx([0.5, 0.8, 0.4])
    assert [w.confidence for w in segment.words] == pytest.approx([(0.5 * 0.8) ** 0.5])
    assert segment.confidence == pytest.approx((0.5 * 0.8) ** 0.5)
    twice = Hypothesis([2, 1, 3], "a | b")
    segment = timed(twice, units, torch.cat([peaked([2], 4, 0.4), peaked([1], 4, 0.5), peaked([3], 4, 0.8)]), edges(3))
    assert [w.confidence for w in segment.words] == pytest.approx([0.4, 0.8])
    assert segment.confidence == pytest.approx(0.6)


def test_words_of_a_lexicon_lie_where_their_spellings_do():
    units = PhonemeUnits(["a", "b", "k"])
    labels = units.encode("k a | | b a b")
    path = [labels[0], labels[1], labels[2], 0, labels[3], 0, *labels[4:]]
    hypothesis = Hypothesis(labels, "ca bab", ["ca", "bab"])
    segment = timed(hypothesis, units, peaked(path, units.size), edges(len(path), 1))
    assert [(w.text, w.start, w.end) for w in segment.words] == [("ca", 0, 2), ("bab", 6, 9)]


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
    "stride 2": (preset("serenanet/small"), (("output_stride", "2"), ("encoder.n_layers", "3"))),
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
