"""What a map in the result folder says of words is what every output says of them."""

import json
import math

import numpy as np
import pytest

from serenanet_modules import cli
from serenanet_modules.data.audio import load
from serenanet_modules.data.manifest import read_manifest
from serenanet_modules.decoding.confidence import Calibration, evidence
from serenanet_modules.decoding.spans import align, words_of
from serenanet_modules.errors import UserError
from serenanet_modules.inference import formats
from serenanet_modules.inference.align import align_text
from serenanet_modules.inference.recognizer import Recognizer
from serenanet_modules.inference.streaming import Streamer
from serenanet_modules.runs.words import write_words
from serenanet_modules.server.shapes import verbose
from tests.support.folders import calibrate, copy_without, make_random_result
from tests.support.presets import preset
from tests.support.tiny import prepared_manifest

GREEDY = Calibration({"posterior": 2.0, "doubt": 0.3, "least": 0.1, "units": -0.4, "lost": -1.0}, 1.0)
BEAM = Calibration({"posterior": 0.5, "lost": -0.8, "known": 1.0}, 0.5)
WORDS = frozenset({"baba", "mama"})


@pytest.fixture(scope="module")
def folder(tiny, tmp_path_factory):
    folder = copy_without(tiny[1], tmp_path_factory.mktemp("calibrated") / "run")
    write_words(folder, WORDS)
    return calibrate(folder, greedy=GREEDY, **{"prefix-beam+lm": BEAM})


@pytest.fixture(scope="module")
def calibrated(folder):
    return Recognizer.from_folder(folder)


def said(transcript):
    return [word.confidence for word in transcript.words]


@pytest.mark.parametrize("lm, calibration", [(None, GREEDY), ("auto", BEAM)])
def test_a_words_confidence_is_what_the_decoders_map_gives(recognizer, calibrated, clips, lm, calibration):
    """The map is of the decoder that is used; texts, times and tokens are those of the folder without a map."""
    decoder, units = calibrated.decoder(lm), calibrated.units
    for clip in clips[:4]:
        (found,), (raw,) = (r.transcribe([clip], lm=lm) for r in (calibrated, recognizer))
        assert found.calibrated and not raw.calibrated
        assert (found.text, found.tokens) == (raw.text, raw.tokens) and found.words
        assert [(w.text, w.start, w.end) for w in found.words] == [(w.text, w.start, w.end) for w in raw.words]

        def hear(pieces):
            output, log_probs, _ = calibrated.posteriors(pieces)
            return list(zip(decoder.decode(output, output.lengths), log_probs, strict=True))

        ((_, ((hypothesis, log_probs),)),) = calibrated.network.read([clip], hear, 60.0)
        spans = align(log_probs, hypothesis.labels, units.blank_id)
        known = [evidence(word, spans, WORDS) for word in words_of(hypothesis, units)]
        assert said(found) == [calibration(e) for e in known] and said(raw) == [e.posterior for e in known]
        assert found.segments[0].confidence == pytest.approx(np.mean(said(found)))
        assert lm is None or max(e.lost for e in known) > 0


def test_a_decoder_without_a_map_stays_raw(tiny, clips, tmp_path):
    folder = calibrate(copy_without(tiny[1], tmp_path / "run"), greedy=GREEDY)
    recognizer = Recognizer.from_folder(folder)
    assert [recognizer.transcribe([clips[0]], lm=lm)[0].calibrated for lm in (None, "auto")] == [True, False]


def test_words_of_the_training(tiny, recognizer, clips, tmp_path):
    """A training keeps its words; those are surer by the map's weight, and a map that needs them is none without."""
    words = (tiny[1] / "save/words.txt").read_text(encoding="utf-8").splitlines()
    manifest = prepared_manifest(*tiny)
    assert words == sorted({word for u in read_manifest(manifest, "train") for word in u.text.split()})
    folder = calibrate(copy_without(tiny[1], tmp_path / "run"), greedy=Calibration({"known": 3.0}, -1.0))
    said_first = recognizer.transcribe([clips[0]])[0].words[0].text
    for known, confidence in (({said_first}, 1 / (1 + math.exp(-2))), ({"neno"}, 1 / (1 + math.exp(1)))):
        write_words(folder, known)
        (found,) = Recognizer.from_folder(folder).transcribe([clips[0]])
        assert found.words[0].confidence == pytest.approx(confidence)
    (folder / "save/words.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="words.txt: cannot be read as words"):
        Recognizer.from_folder(folder)
    (folder / "save/words.txt").unlink()
    assert not Recognizer.from_folder(folder).transcribe([clips[0]])[0].calibrated


@pytest.mark.parametrize("lm", [None, "auto"])
def test_neighbours_and_padding_change_no_confidence(calibrated, clips, lm):
    """Alone, in batches of like length, and beside what is much longer."""
    alone = [calibrated.transcribe([clip], lm=lm)[0] for clip in clips]
    long = np.concatenate([load(clip) for clip in clips[:6]])
    together = calibrated.transcribe([*clips, long], batch_seconds=1000, lm=lm)
    for one, other in zip(alone, together, strict=False):
        assert one.text == other.text and one.words
        assert said(other) == pytest.approx(said(one), abs=1e-5)
        assert [t.confidence for t in other.tokens] == pytest.approx([t.confidence for t in one.tokens], abs=1e-5)


def test_all_outputs_say_the_same(calibrated, folder, clips, tmp_path, capsys):
    """json, ctm, the server's answer, and the command line; whether the numbers are calibrated where there is room."""
    (found,) = calibrated.transcribe([clips[0]])
    answer = verbose(found, "sw", calibrated.units)
    assert answer.calibrated and [w.confidence for w in answer.words] == said(found)
    mean = np.mean([np.log(max(t.confidence, 1e-10)) for t in found.tokens])
    assert answer.segments[0].avg_logprob == pytest.approx(mean)  # the network's own, whatever dev says
    written = json.loads(formats.write(found, "json"))
    rounded = [round(c, 4) for c in said(found)]
    assert written["calibrated"] is True
    assert [w["confidence"] for s in written["segments"] for w in s["words"]] == rounded
    assert [float(row.split()[5]) for row in formats.write(found, "ctm").splitlines()] == rounded
    assert cli.main(["transcribe", str(folder), str(clips[0]), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["segments"] == written["segments"]


def test_aligned_words_have_greedy_decodings_confidence(calibrated, folder, recognizer, tiny, clips, tmp_path, capsys):
    text = "baba na mama"
    found, raw = (align_text(r, clips[0], text) for r in (calibrated, recognizer))
    assert found.calibrated and not raw.calibrated and found.tokens == raw.tokens and said(found) != said(raw)
    for used, words in ((folder, ", confidence 0."), (tiny[1], ", uncalibrated confidence 0.")):
        assert cli.main(["align", str(used), str(clips[0]), text, "--out", str(tmp_path / "x.TextGrid")]) == 0
        assert words in capsys.readouterr().out


def test_streamed_words_have_the_confidence_of_the_whole(tmp_path, clips):
    """Nothing is lost by greedy decoding, however the sound comes."""
    options = [("d_model", "24"), ("n_mels", "40"), ("features.n_fft", "512"), ("encoder.n_layers", "2")]
    folder = make_random_result(tmp_path / "run", preset("conmamba_causal/small"), *options)
    recognizer, samples = Recognizer.from_folder(calibrate(folder, greedy=GREEDY)), load(clips[0])
    (whole,) = recognizer.transcribe([samples])
    streamer = Streamer(recognizer)
    for piece in np.array_split(samples, 9):
        streamer.feed(piece)
    found = streamer.finish()
    assert found.calibrated and whole.words and found.text == whole.text
    assert said(found) == pytest.approx(said(whole), abs=1e-3)
