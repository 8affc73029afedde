"""What is said of streamed sound is what the model says of the whole, however the sound is cut."""

import random

import numpy as np
import pytest
import torch

from serenanet_modules.data.audio import SAMPLE_RATE, load
from serenanet_modules.data.sources import Piece
from serenanet_modules.decoding.greedy import greedy
from serenanet_modules.errors import UserError
from serenanet_modules.inference.recognizer import Recognizer
from serenanet_modules.inference.streaming import LONGEST, Streamer
from serenanet_modules.lobes.blocks.chunking import DynamicChunking
from serenanet_modules.lobes.level import FIRST
from tests.support.folders import make_random_result
from tests.support.presets import preset
from tests.support.tiny import SAMPLE

CLIP = SAMPLE / "clips/common_voice_sw_00000601.mp3"
SMALL = [("d_model", "24"), ("n_mels", "40"), ("features.n_fft", "512")]
LAYERS = [("encoder.n_layers", "2"), ("encoder.d_ffn", "32"), ("encoder.kernel_size", "7"), ("encoder.d_state", "4")]
CAUSAL = preset("conmamba_causal/small")
CAR = [("car", "!include:refinement/car.yaml"), ("car.d_model", "16"), ("scoring", "average")]
CHUNKED = [
    (f"encoder.{part}.{name}", value)
    for part in ("outer", "inner")
    for name, value in (("n_layers", "1"), ("d_ffn", "32"), ("causal", "true"), ("d_state", "4"))
]

DECODER = [("units", "char"), ("attention_decoder.n_layers", "1"), ("attention_decoder.n_heads", "2")]
FAST = [
    *[("encoder.n_layers", "2"), ("encoder.n_heads", "2"), ("encoder.d_ffn", "32"), ("encoder.kernel_size", "5")],
    *[("encoder.look_aheads", "[3, 0]"), ("encoder.left_context", "8"), ("frontend.filters", "8"), ("units", "char")],
]

STREAMING = {
    "conv2d": (CAUSAL, LAYERS),
    "conv1d, CAR": (CAUSAL, [*LAYERS, ("frontend", "!include:frontends/conv1d.yaml"), *CAR]),
    "ATHM, CAR": (CAUSAL, [*LAYERS, ("frontend", "!include:frontends/athm.yaml"), *CAR]),
    "ATHM, 10 ms, look-ahead": (
        CAUSAL,
        [*LAYERS, ("frontend", "!include:frontends/athm.yaml"), ("output_stride", "1"), ("encoder.right_context", "2")],
    ),
    "H-Mamba": (preset("hmamba_early/small"), CHUNKED),
    "Fast Conformer, CAR": (preset("fast_conformer_streaming"), [*FAST, *CAR]),
    "bpe": (CAUSAL, [*LAYERS, ("units", "bpe")]),
}
OTHERS = {
    "serenanet/small": (LAYERS[:2], "RotaryTransformerEncoder"),
    "conformer_ctc": (LAYERS[:2], "ConformerEncoder"),
    "conmamba_ctc/small": (LAYERS, "ConMambaEncoder is bidirectional"),
    "hmamba_pooling/small": (CHUNKED, "ChunkedEncoder"),
    "fast_conformer": ([*FAST[:4], *FAST[6:]], "FastConformerEncoder reads whole utterances"),
}


def opened(folder, hparams, options):
    texts = ("mama anakula ng'ombe wa baba", "habari za asubuhi rafiki yangu")
    units = dict(options).get("units", "char")
    recognizer = Recognizer.from_folder(make_random_result(folder, hparams, *SMALL, *options, units=units, texts=texts))
    for chunking in (m for m in recognizer.modules.modules() if isinstance(m, DynamicChunking)):
        for parameter in chunking.parameters():  # which begin as zeros and identities
            torch.nn.init.normal_(parameter, std=0.5)
    return recognizer


@pytest.fixture(scope="module", params=STREAMING)
def recognizer(request, tmp_path_factory):
    return opened(tmp_path_factory.mktemp("random") / "run", *STREAMING[request.param])


@pytest.fixture(scope="module")
def sound():
    """A spoken sentence whose length is no multiple of anything."""
    return load(CLIP)[:31003]


@pytest.fixture(scope="module")
def whole(recognizer, sound):
    (transcript,) = recognizer.transcribe([sound])
    assert len(transcript.tokens) > 2  # else the tests prove nothing
    return transcript


def cuts(samples):
    """All at once; a sample at a time, for the first and last frames; at random."""
    yield [samples]
    yield [*samples[:700].reshape(-1, 1), samples[700:-500], *samples[-500:].reshape(-1, 1)]
    for seed, longest in enumerate((400, 5000, 20000)):
        rng, pieces, at = random.Random(seed), [], 0
        while at < len(samples):
            pieces.append(samples[at : (at := at + rng.randint(0, longest))])
        yield pieces


def test_streamed_equals_offline(recognizer, sound, whole):
    """Log-probabilities to 1e-4; text, tokens, words and times exactly; no text is taken back."""
    _, expected, _ = recognizer.posteriors([Piece(0.0, sound)])
    for pieces in cuts(sound):
        streamer, outputs, texts = Streamer(recognizer), [], [""]
        add = streamer._greedy.add
        streamer._greedy.add = lambda x, add=add, outputs=outputs: outputs.append(x) or add(x)
        for piece in pieces:
            texts.append(streamer.feed(piece))
        transcript = streamer.finish()
        log_probs = torch.cat([x.log_probs(recognizer.settings["scoring"])[0] for x in outputs])
        difference = float((log_probs - expected[0]).abs().max())
        print(f"largest difference {difference:.1e}")
        assert difference < 1e-4
        assert all(later.startswith(text) for text, later in zip(texts, [*texts[1:], transcript.text], strict=True))
        assert_same(transcript, whole)
        assert streamer.finish() == transcript and streamer.text == transcript.text


def assert_same(transcript, whole):
    """Confidences may differ by rounding, nothing else does."""
    assert (transcript.text, transcript.duration) == (whole.text, whole.duration)
    for found, expected in ((transcript.segments, whole.segments), (transcript.words, whole.words)):
        assert [(x.text, x.start, x.end) for x in found] == [(x.text, x.start, x.end) for x in expected]
    for token, expected in zip(transcript.tokens, whole.tokens, strict=True):
        assert (token.text, token.start, token.end) == (expected.text, expected.start, expected.end)
        assert token.confidence == pytest.approx(expected.confidence, abs=1e-3)


def test_streams_do_not_disturb_each_other(recognizer, sound, whole):
    """Two at once, and the recogniser read in between."""
    one, other = Streamer(recognizer), Streamer(recognizer)
    for piece in np.array_split(sound, 5):
        one.feed(piece)
        other.feed(-piece[: len(piece) // 2])
    assert recognizer.transcribe([sound])[0] == whole
    assert_same(one.finish(), whole)


@pytest.mark.parametrize("hparams", OTHERS)
def test_models_that_cannot_stream_say_so(tmp_path, hparams):
    options, words = OTHERS[hparams]
    recognizer = opened(tmp_path / "run", preset(hparams), options)
    with pytest.raises(UserError, match=f"run: this model cannot stream: .*{words}.*; to stream, train ssm.yaml, "):
        Streamer(recognizer)


def test_streams_of_several_look_aheads_share_a_recogniser(tmp_path, sound):
    """Fed in turns, each hears what it hears alone; a look-ahead that the model lacks is refused."""
    recognizer = opened(tmp_path / "run", *STREAMING["Fast Conformer, CAR"])
    both = {look_ahead: Streamer(recognizer, look_ahead) for look_ahead in (0, 240)}
    for at in range(0, len(sound), 3000):
        for streamer in both.values():
            streamer.feed(sound[at : at + 3000])
    assert [round(1000 * streamer.look_ahead, 1) for streamer in both.values()] == [12.5, 252.5]
    heard = {look_ahead: streamer.finish() for look_ahead, streamer in both.items()}
    for look_ahead, transcript in heard.items():
        alone = Streamer(recognizer, look_ahead)
        alone.feed(sound)
        assert_same(alone.finish(), transcript)
    assert_same(heard[240], recognizer.transcribe([sound])[0])
    assert heard[0].segments[0].confidence != heard[240].segments[0].confidence
    with pytest.raises(
        UserError, match="run: a look-ahead of 80 ms is not one of .*: it has 240, 0; give one of these"
    ):
        Streamer(recognizer, 80)
    with pytest.raises(UserError, match="it has one only; leave it out"):
        Streamer(opened(tmp_path / "other", *STREAMING["conv2d"]), 80)


# --- one of them ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return opened(tmp_path_factory.mktemp("plain") / "run", *STREAMING["conv2d"])


def test_nothing_and_next_to_nothing(plain):
    """No sample gives no text; a single one is sound too."""
    streamer = Streamer(plain)
    assert streamer.feed(np.empty(0, np.float32)) == "" and streamer.latency.rtf == 0.0
    assert (streamer.finish().duration, streamer.finish().segments) == (0.0, ())
    for length in (1, 160):
        samples = np.full(length, 0.5, np.float32)
        streamer = Streamer(plain)
        streamer.feed(samples)
        assert_same(streamer.finish(), plain.transcribe([samples])[0])


def test_long_feeds_are_read_in_parts(plain, monkeypatch):
    """The network never reads more than `LONGEST` samples at once; the text stays that of the whole."""
    rng = np.random.default_rng(0)
    samples = (0.1 * rng.standard_normal(2 * LONGEST + 77)).astype(np.float32)
    seen, step = [], plain.modules["model"].step
    monkeypatch.setattr(plain.modules["model"], "step", lambda x, s: seen.append(x.shape[1]) or step(x, s))
    streamer = Streamer(plain)
    streamer.feed(samples.astype(np.float64))
    assert seen == [LONGEST, LONGEST, 77]
    assert_same(streamer.finish(), plain.transcribe([samples])[0])


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (np.zeros((2, 5)), r"float64 of shape \(2, 5\)"),
        (np.zeros(5, np.int16), "int16 of shape"),
        (np.array([0.0, np.nan]), "not a number"),
    ],
)
def test_bad_samples(plain, samples, words):
    """They are refused and leave the stream as it was."""
    streamer = Streamer(plain)
    with pytest.raises(UserError, match=words):
        streamer.feed(samples)
    assert streamer.finish().duration == 0.0


def test_an_ended_stream_takes_no_more(plain, sound):
    streamer = Streamer(plain)
    streamer.finish()
    with pytest.raises(UserError, match="has ended"):
        streamer.feed(sound)


def test_a_hybrid_model_streams_its_ctc_head(tmp_path, sound):
    hybrid = opened(tmp_path / "run", preset("conmamba_s2s"), [*LAYERS, ("encoder.causal", "true"), *DECODER])
    streamer = Streamer(hybrid)
    for piece in np.array_split(sound, 7):
        streamer.feed(piece)
    output, log_probs, _ = hybrid.posteriors([Piece(0.0, sound)])
    assert streamer.finish().text == hybrid.units.decode(greedy(log_probs[0].unsqueeze(0), output.lengths)[0]) != ""


def test_latency(plain, sound):
    """Look-ahead: three frames of 10 ms and half a window of 25 ms; a chunk is what is fed at once."""
    streamer = Streamer(plain)
    for piece in np.array_split(sound, 10):
        streamer.feed(piece)
    streamer.finish()
    latency = streamer.latency
    assert latency.look_ahead == pytest.approx(0.0425)
    assert latency.chunk == 3101 / SAMPLE_RATE and latency.algorithmic == latency.look_ahead + latency.chunk
    assert latency.audio == len(sound) / SAMPLE_RATE and len(latency.compute) == 11
    assert latency.rtf == sum(latency.compute) / latency.audio > 0


def test_the_look_ahead_is_enough_sound_for_a_frame(plain, sound):
    """With less than it the next frame does not come, with it it does; those of the first second come at its end."""
    frame, hop = 640, 160  # samples
    first = (FIRST - 1) * hop + 200  # half a window
    beyond = FIRST // 4 * frame + round(Streamer(plain).look_ahead * SAMPLE_RATE)
    for samples, frames in ((first - 1, 0), (first, FIRST // 4), (beyond - 1, FIRST // 4), (beyond, FIRST // 4 + 1)):
        streamer = Streamer(plain)
        streamer.feed(sound[:samples])
        assert streamer._greedy.frames == frames
