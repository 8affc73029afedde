"""Sentences of a stream are what `transcribe` says of those stretches, none is lost, and only the open one is held."""

import math
import random

import numpy as np
import pytest
import torch

from serenanet_modules.data.audio import SAMPLE_RATE, load
from serenanet_modules.data.segment import enough
from serenanet_modules.data.sources import Piece
from serenanet_modules.errors import UserError
from serenanet_modules.inference.endpointing import NONE, STEP, LiveStream, Rules
from serenanet_modules.inference.recognizer import Recognizer
from tests.support.folders import make_random_result
from tests.support.presets import preset
from tests.support.tiny import SAMPLE

SMALL = [("d_model", "24"), ("n_mels", "40"), ("features.n_fft", "512"), ("encoder.n_layers", "2")]
LATE = [*SMALL, ("units", "char"), ("encoder.n_heads", "2"), ("frontend.filters", "8")]
SSM = [("encoder.headdim", "8"), ("encoder.d_state", "4"), ("encoder.attention_every", "2")]
LOOK_AHEAD, CHUNK = 1040, 1.12  # milliseconds; seconds that such a network decodes at once
TEXTS = ("mama anakula ng'ombe wa baba", "habari za asubuhi rafiki yangu")
CLIPS = sorted((SAMPLE / "clips").glob("common_voice_sw_0000060*.mp3"))[:4]
PAUSES = (0.5, 2.0, 1.6, 6.0, 1.0)  # seconds before, between and behind the clips: 0.5 and 1.0 end nothing
LONG_PAUSES = (0.5, 2.6, 2.4, 6.0, 1.0)  # those that end a sentence are longer than rule 2 and a chunk together


def silence(seconds):
    return np.random.default_rng(0).normal(0, 1e-4, round(seconds * SAMPLE_RATE)).astype(np.float32)


def spoken(pauses):
    """Sentences with pauses, and where each begins and ends: (samples, [(start, end)])."""
    parts, places, at = [silence(pauses[0])], [], round(pauses[0] * SAMPLE_RATE)
    for clip, pause in zip(map(load, CLIPS), pauses[1:], strict=True):
        parts += [clip, silence(pause)]
        places.append((at, at + len(clip)))
        at += len(clip) + len(parts[-1])
    return np.concatenate(parts), places


@pytest.fixture(scope="module")
def speech():
    return spoken(PAUSES)


def fitted(folder, hparams, small, samples, places):
    """A random model whose blank has been fitted to silence, all else is babble."""
    recognizer = Recognizer.from_folder(make_random_result(folder, preset(hparams), *small, texts=TEXTS))
    output, _, ((*edges, _),) = recognizer.posteriors([Piece(0.0, samples)])
    loud = torch.tensor([any(a <= edge * SAMPLE_RATE < b for a, b in places) for edge in edges])
    hidden = torch.cat([output.hidden[0], torch.ones(len(loud), 1)], dim=1)
    wanted = torch.where(loud, -5.0, 20.0).unsqueeze(1)
    fitted = torch.linalg.lstsq(hidden, wanted).solution.squeeze(1)
    decoder = recognizer.modules["model"].decoder
    with torch.no_grad():
        decoder.weight[0], decoder.bias[0] = fitted[:-1], fitted[-1]
    recognizer.settings["piece_seconds"] = 30.0
    return recognizer


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory, speech):
    return fitted(tmp_path_factory.mktemp("r") / "run", "conmamba_causal/small", SMALL, *speech)


@pytest.fixture(scope="module", params=["fast_conformer_streaming", "ssm"])
def late(request, tmp_path_factory):
    """A model that decodes a chunk of more than a second at once, and what is said: (recogniser, samples, places)."""
    samples, places = spoken(LONG_PAUSES)
    more = SSM if request.param == "ssm" else []
    return fitted(tmp_path_factory.mktemp("r") / "run", request.param, [*LATE, *more], samples, places), samples, places


def streamed(live, samples, cuts):
    """Sentences, and the samples at which each feed left the open one to begin."""
    found, starts = [], [0.0]
    for part in np.split(samples, cuts):
        found += live.feed(part)
        starts.append(live.start)
    found += live.finish()
    assert [len(sentence.segments) for sentence in found] == [1] * len(found)
    return found, sorted({round(start * SAMPLE_RATE) for start in [*starts, live.start]})


def rows(segments):
    """What is promised to be equal to the last digit; networks that read other batches round otherwise."""
    return [[(w.text, w.start, w.end) for w in s.words] + [s.text, s.start, s.end] for s in segments]


def test_a_sentence_ends_in_its_pause(recognizer, speech):
    """Each of four is heard by itself, cut where nobody speaks, and as `transcribe` hears that stretch alone."""
    assert_ends_in_pauses(recognizer, None, *speech)


def assert_ends_in_pauses(recognizer, look_ahead, samples, places):
    live = LiveStream(recognizer, look_ahead=look_ahead)
    found, starts = streamed(live, samples, range(3000, len(samples), 3000))
    assert len(found) == len(places) and starts[-1] == len(samples)
    assert not any(a < start < b for start in starts for a, b in places)
    for sentence, (begin, end) in zip(found, places, strict=True):
        (segment,), until = sentence.segments, round(sentence.duration * SAMPLE_RATE)
        since = max(start for start in starts if start < until and start <= begin)
        assert segment == recognizer.segment(Piece(since / SAMPLE_RATE, samples[since:until])) and segment.words
        assert SAMPLE_RATE * segment.start < end < until and begin < SAMPLE_RATE * segment.end


def test_however_it_is_fed(recognizer, speech):
    """Text, times, confidences and ends are those of any other feeding; open text only grows."""
    samples, _ = speech
    expected, _ = streamed(LiveStream(recognizer), samples, [])
    for seed, longest in enumerate((900, 30000)):
        rng, cuts = random.Random(seed), [0]
        while cuts[-1] < len(samples):
            cuts.append(cuts[-1] + rng.randint(0, longest))
        found, _ = streamed(LiveStream(recognizer), samples, cuts)
        assert found == expected


def test_partials_are_of_the_open_sentence(recognizer, speech):
    """They grow to what the sentence is in the end, and begin anew behind it."""
    samples, _ = speech
    live, said = LiveStream(recognizer), [""]
    for part in np.split(samples, range(1600, len(samples), 1600)):
        for sentence in live.feed(part):
            assert sentence.text == said[-1] != ""
            said = [""]
        assert live.text.startswith(said[-1])
        said.append(live.text)


def test_without_end_points_it_is_transcribe(recognizer, speech, monkeypatch):
    """Cut by length alone, segments are those of the recording, to the last digit; less than a piece is held."""
    monkeypatch.setitem(recognizer.settings, "piece_seconds", 3.0)
    samples = np.concatenate([speech[0]] * 2)
    live, most = LiveStream(recognizer, NONE), 0
    found = []
    for part in np.split(samples, range(1000, len(samples), 1000)):
        found += live.feed(part)
        most = max(most, len(live._held))
    found += live.finish()
    (expected,) = recognizer.transcribe([samples])
    assert rows(sentence.segments[0] for sentence in found) == rows(expected.segments) and len(found) > 4
    assert live.transcript(found).text == expected.text and live.duration == expected.duration
    assert most < enough(3 * SAMPLE_RATE) + STEP


def test_a_long_sentence_is_cut_by_rule_3(recognizer, speech):
    """At its quietest place, as `transcribe` would; nothing that is longer is read at once."""
    rules = Rules(math.inf, math.inf, 2.0)
    found, starts = streamed(LiveStream(recognizer, rules), speech[0], range(1000, len(speech[0]), 1000))
    (expected,) = recognizer.transcribe([speech[0]], piece_seconds=2.0)
    assert rows(sentence.segments[0] for sentence in found) == rows(expected.segments)
    assert max(np.diff(starts)) <= 2 * SAMPLE_RATE


def test_silence_is_no_sentence(recognizer):
    """It ends without a word, again and again: less than a second of it stands before the next sentence."""
    live = LiveStream(recognizer)
    assert [live.feed(silence(0.5)) for _ in range(20)] == [[]] * 20
    assert live.duration == 10.0 and 0.4 <= 10.0 - live.start < 1.0 and live.finish() == []


def test_sound_without_a_word_ends_by_rule_1(recognizer, monkeypatch):
    """What is no silence by its level, as in a noisy room, is heard, and begun anew where nothing is said."""
    decoder = recognizer.modules["model"].decoder
    with monkeypatch.context() as patch:
        patch.setitem(decoder._parameters, "bias", decoder.bias + 99 * (torch.arange(len(decoder.bias)) == 0))
        live = LiveStream(recognizer)
        starts = []
        for _ in range(20):
            assert live.feed(1000 * silence(0.5)) == []
            starts.append(live.start)
    steps = np.diff(sorted(set(starts)))
    assert starts[4] == 0 and len(steps) > 3 and 1.2 < steps.min() and steps.max() < 2.6


def test_the_rules_where_the_network_lags_by_a_chunk(late):
    """Sentences are the same however they are fed, too."""
    recognizer, samples, places = late
    live = LiveStream(recognizer, look_ahead=LOOK_AHEAD)
    live.feed(samples[: 2 * SAMPLE_RATE])
    assert live.text and live.latency.look_ahead > LOOK_AHEAD / 1000
    assert_ends_in_pauses(recognizer, LOOK_AHEAD, samples, places)
    expected, _ = streamed(LiveStream(recognizer, look_ahead=LOOK_AHEAD), samples, [])
    cuts = random.Random(0).choices(range(len(samples)), k=50)
    assert streamed(LiveStream(recognizer, look_ahead=LOOK_AHEAD), samples, sorted(cuts))[0] == expected


@pytest.mark.parametrize("rules", [NONE, Rules(math.inf, math.inf, 2.0)], ids=["none", "rule_3"])
def test_a_network_that_lags_is_cut_by_length_as_transcribe_does_it(late, rules, monkeypatch):
    recognizer, samples, _ = late
    longest = min(3.0, rules.rule3_min_utterance_length)
    monkeypatch.setitem(recognizer.settings, "piece_seconds", 3.0)
    found, starts = streamed(LiveStream(recognizer, rules, LOOK_AHEAD), samples, range(1000, len(samples), 1000))
    (expected,) = recognizer.transcribe([samples], piece_seconds=longest)
    assert rows(sentence.segments[0] for sentence in found) == rows(expected.segments) and len(found) > 4
    assert max(np.diff(starts)) < enough(longest * SAMPLE_RATE)


def test_sound_without_a_word_ends_by_rule_1_where_the_network_lags(late, monkeypatch):
    """A chunk later at most."""
    recognizer, _, _ = late
    decoder = recognizer.modules["model"].decoder
    monkeypatch.setitem(decoder._parameters, "bias", decoder.bias + 99 * (torch.arange(len(decoder.bias)) == 0))
    live, starts = LiveStream(recognizer, look_ahead=LOOK_AHEAD), set()
    for _ in range(30):
        assert live.feed(1000 * silence(0.5)) == []
        starts.add(live.start)
        assert live.duration - live.start <= 2.4 + CHUNK + 1.1  # the last frame's look-ahead, and a piece
    steps = np.diff(sorted(starts))
    assert len(steps) > 3 and 1.2 < steps.min() and steps.max() < 2.4 + CHUNK


def test_rules_that_are_none():
    for given, words in (
        ({"rule1_min_trailing_silence": 0.1}, "rule1_min_trailing_silence is 0.1; give 0.2 s or more"),
        ({"rule2_min_trailing_silence": math.nan}, "rule2_min_trailing_silence is nan"),
        ({"rule3_min_utterance_length": 0.5}, "rule3_min_utterance_length is 0.5; give 1 s or more"),
    ):
        with pytest.raises(UserError, match=words):
            Rules(**given)


def test_an_ended_stream_takes_no_more(recognizer):
    live = LiveStream(recognizer)
    assert live.finish() == live.finish() == []
    with pytest.raises(UserError, match="has ended"):
        live.feed(silence(1))


def test_defaults_are_sherpas():
    """Read where sherpa-onnx has them, where its wheel is installed."""
    sherpa = pytest.importorskip("sherpa_onnx")
    import inspect

    theirs = inspect.signature(sherpa.OnlineRecognizer.from_transducer).parameters
    assert {name: theirs[name].default for name in vars(Rules())} == vars(Rules())
