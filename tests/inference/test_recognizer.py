"""A result folder transcribes any audio, whatever stands beside it in the batch."""

import json
import random
import shutil

import numpy as np
import pytest
import soundfile
import soxr
import torch
from safetensors.torch import save_file

from serenanet_modules.config.foreign import FORMAT
from serenanet_modules.data.audio import SAMPLE_RATE, load
from serenanet_modules.data.manifest import read_manifest
from serenanet_modules.data.sources import Piece
from serenanet_modules.decoding import ngram
from serenanet_modules.errors import UserError
from serenanet_modules.inference.recognizer import Recognizer
from tests.support.folders import copy_without
from tests.support.tiny import decoded, prepared_manifest


def texts_of(recognizer, sources, **options):
    return [transcript.text for transcript in recognizer.transcribe(sources, **options)]


@pytest.fixture(scope="session")
def alone(recognizer, clips):
    """Every clip's text when nothing stands beside it."""
    texts = [recognizer.transcribe([clip])[0].text for clip in clips]
    assert all(texts) and len(set(texts)) > len(texts) / 2  # else the tests below prove nothing
    return texts


# --- the same as in training ------------------------------------------------------------------------------------------


def test_equals_the_evaluation(tiny, recognizer):
    """Texts are those that the evaluation wrote, greedy and with the language model."""
    corpus, result = tiny
    manifest = prepared_manifest(corpus, result)
    paths = {u.id: manifest.parent / u.path for u in read_manifest(manifest, "test")}
    rows = decoded(result, "test")
    for lm, column in ((None, "decoder/greedy"), ("auto", "decoder/prefix-beam+lm")):
        texts = texts_of(recognizer, [paths[row["id"]] for row in rows], lm=lm)
        assert all(texts) and texts == [row[column] for row in rows]


def test_the_tuned_weights_are_used(tiny):
    """result.json holds what dev chose, and the beam search with a language model reads it."""
    weights = json.loads((tiny[1] / "result.json").read_text(encoding="utf-8"))["decoding"]
    assert set(weights) == {"lm_weight", "word_score", "lm_tool"}
    assert weights.pop("lm_tool") in ("lmplz", "irstlm", "own")
    assert Recognizer.from_folder(tiny[1]).settings["decoding"] == weights


def test_a_language_model_changes_the_text(recognizer, clips, alone, tmp_path):
    """An ARPA file from anywhere can be given."""
    ngram.estimate(["wa na ya", "na wa wa ya"], 2, tmp_path / "lm.arpa", "own")
    texts = texts_of(recognizer, clips[:3], lm=tmp_path / "lm.arpa")
    assert texts != alone[:3]


# --- batches ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_seconds", [0.01, 7, 1000])
def test_neighbours_change_nothing_and_order_stays(recognizer, clips, alone, batch_seconds):
    """Texts are each clip's own, whatever the order and the batches."""
    order = list(range(len(clips)))
    random.Random(batch_seconds).shuffle(order)
    texts = texts_of(recognizer, [clips[i] for i in order], batch_seconds=batch_seconds)
    assert texts == [alone[i] for i in order]


def test_posteriors_do_not_depend_on_padding(recognizer, clips):
    """Log-probabilities are equal to rounding, alone and beside longer audio."""
    samples = [Piece(0.0, found) for found in sorted(map(load, clips), key=len)]
    together = recognizer.network.output(samples)
    for row, piece in enumerate(samples):
        own = recognizer.network.output([piece])
        (length,) = own.lengths.tolist()
        assert length == together.lengths[row]
        posteriors = (output.log_probs("decoder") for output in (together, own))
        torch.testing.assert_close(next(posteriors)[row, :length], next(posteriors)[0, :length], atol=1e-4, rtol=0)


def test_more_audio_than_one_window(recognizer, clips, alone):
    """Sources are loaded a few at a time; nothing gets lost between."""
    assert texts_of(recognizer, iter(clips * 2), batch_seconds=1) == alone * 2


# --- sources ----------------------------------------------------------------------------------------------------------


def test_samples_and_files_are_equal(recognizer, clips, alone):
    """Arrays, of single or double precision, give what the file gives."""
    samples = [load(clips[0]), load(clips[1]).astype(np.float64), torch.from_numpy(load(clips[2]))]
    assert texts_of(recognizer, samples) == alone[:3]


@pytest.mark.parametrize(
    "name, rate, channels",
    [("a.wav", 8000, 2), ("a.wav", 16000, 1), ("a.wav", 44100, 1), ("a.flac", 48000, 6), ("a.mp3", 44100, 2)],
)
def test_rates_channels_and_formats(recognizer, clips, tmp_path, name, rate, channels):
    """The text is that of the samples which `load` gives; at 16 kHz or above it resembles the original's."""
    samples = soxr.resample(load(clips[0]), SAMPLE_RATE, rate)
    soundfile.write(tmp_path / name, np.stack([samples] * channels, axis=1), rate)
    found = recognizer.transcribe([tmp_path / name])
    assert found == recognizer.transcribe([load(tmp_path / name)]) and found[0].text


def test_the_same_samples_in_two_channels_of_wav(recognizer, clips, alone, tmp_path):
    """Nothing but the container differs, so the text does not."""
    samples = load(clips[0])
    soundfile.write(tmp_path / "a.wav", np.stack([samples] * 2, axis=1), SAMPLE_RATE, subtype="FLOAT")
    assert texts_of(recognizer, [tmp_path / "a.wav"]) == alone[:1]


def test_samples_with_their_rate(recognizer, clips, tmp_path):
    """A pair of samples and rate gives what a file of them gives; channels are averaged."""
    rng, samples = np.random.default_rng(0), soxr.resample(load(clips[0]), SAMPLE_RATE, 44100)
    stereo = np.stack([samples, 0.5 * samples + 0.01 * rng.standard_normal(len(samples))], axis=1).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", stereo, 44100, subtype="FLOAT")
    soundfile.write(tmp_path / "b.wav", samples, 44100, subtype="FLOAT")
    expected = recognizer.transcribe([tmp_path / "a.wav", tmp_path / "b.wav"])
    assert recognizer.transcribe([(stereo, 44100), (torch.from_numpy(samples), 44100.0)]) == expected


def test_long_audio_is_its_pieces(recognizer):
    """Three minutes are read in pieces of at most 30 s, and their texts joined."""
    rng = np.random.default_rng(0)
    samples = (0.1 * rng.standard_normal(180 * SAMPLE_RATE)).astype(np.float32)
    seen = []
    original = recognizer.network.output
    recognizer.network.output = lambda pieces: seen.extend(len(p.samples) for p in pieces) or original(pieces)
    try:
        (text,) = texts_of(recognizer, [samples])
    finally:
        del recognizer.network.output
    assert sum(seen) == len(samples) and max(seen) <= 30 * SAMPLE_RATE
    assert text


@pytest.mark.parametrize("usual, longest", [(0.8, 3.0), (7.5, 7.5), (54.0, 30.0), (None, 30.0)])
def test_pieces_are_as_long_as_training_utterances(tiny, tmp_path, usual, longest):
    """Models hear long audio in pieces of the length that they know; callers can ask for more."""
    folder = copy_without(tiny[1], tmp_path / "run")
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert result["data"]["splits"]["train"].pop("p99_seconds") > 0
    result["data"]["splits"]["train"] |= {} if usual is None else {"p99_seconds": usual}
    (folder / "result.json").write_text(json.dumps(result))
    recognizer, noise = Recognizer.from_folder(folder), np.random.default_rng(0).standard_normal(64 * SAMPLE_RATE)
    seen, original = [], recognizer.network.output
    recognizer.network.output = lambda pieces: seen.extend(len(p.samples) for p in pieces) or original(pieces)
    for asked, most in ((None, longest), (20.0, 20.0)):
        seen.clear()
        (transcript,) = recognizer.transcribe([0.1 * noise], piece_seconds=asked)
        assert most / 2 * SAMPLE_RATE <= max(seen) <= most * SAMPLE_RATE and sum(seen) == len(noise)
        assert transcript.duration == 64


@pytest.mark.parametrize("length", [1, 159, 400, 1000])
def test_very_short_audio(recognizer, length):
    """A single sample is audio too."""
    (text,) = texts_of(recognizer, [np.full(length, 0.1, np.float32)])
    assert isinstance(text, str)


def test_no_sources(recognizer):
    assert recognizer.transcribe([]) == []


def test_bad_sources_stand_in_their_place(recognizer, clips, alone, tmp_path):
    """`transcripts` gives an error for each bad source and the text of all others; `transcribe` raises it."""
    (tmp_path / "empty.wav").touch()
    soundfile.write(tmp_path / "silent.wav", np.zeros((0, 1)), 16000)
    bad = [tmp_path / "no.wav", tmp_path / "empty.wav", tmp_path / "silent.wav", np.zeros((2, 5)), np.full(9, np.nan)]
    bad += [np.zeros(0, np.float32), np.zeros(9, np.int16), (np.zeros((2, 900)), 16000), (np.zeros(9), 0)]
    results = list(recognizer.transcripts([clips[0], *bad, clips[1]]))
    assert (results[0].text, results[-1].text) == (alone[0], alone[1])
    words = ["no such file", "0 bytes", "0 samples", "one channel", "not a number", "(0,): there is no sound", "int16"]
    words += ["time first", "a rate of 0"]
    for error, word in zip(results[1:-1], words, strict=True):
        assert isinstance(error, UserError) and word in str(error)
    with pytest.raises(UserError, match="no such file"):
        recognizer.transcribe([clips[0], *bad])


# --- phonemes ---------------------------------------------------------------------------------------------------------


def test_phonemes_become_training_words(phonemic, clips, tmp_path):
    """The lexicon written by the evaluation makes words of phones; without it the text is phones."""
    corpus, result = phonemic
    manifest = prepared_manifest(corpus, result)
    words = {word for u in read_manifest(manifest, "train") for word in u.text.split()}
    with_lexicon = Recognizer.from_folder(result)
    texts = texts_of(with_lexicon, clips[:3]) + texts_of(with_lexicon, clips[:3], lm="auto")
    assert any(texts) and {word for text in texts for word in text.split()} <= words

    phones = Recognizer.from_folder(copy_without(result, tmp_path / "run", "save/lexicon.tsv"))
    (text,) = texts_of(phones, clips[:1])
    assert text and set(text.split()) <= set(phones.units.pieces)
    with pytest.raises(UserError, match="save/lexicon.tsv is missing"):
        phones.transcribe(clips[:1], lm="auto")


# --- folders ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["hyperparams.yaml", "weights.safetensors", "save/units/units.json"])
def test_an_incomplete_folder(tiny, tmp_path, name):
    """The missing file is named."""
    folder = copy_without(tiny[1], tmp_path / "run", name)
    with pytest.raises(UserError, match=f"{name} is missing"):
        Recognizer.from_folder(folder)


def test_a_folder_needs_no_checkpoint_nor_scores(tiny, clips, alone, tmp_path):
    """What is handed on can be small."""
    folder = tmp_path / "handed_on"
    for name in ("hyperparams.yaml", "weights.safetensors", "save/units/units.json", "save/units/units.model"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(tiny[1] / name, folder / name)
    recognizer = Recognizer.from_folder(folder)
    assert texts_of(recognizer, clips[:1]) == alone[:1]
    with pytest.raises(UserError, match="holds no language model"):
        recognizer.transcribe(clips[:1], lm="auto")


def _spoil_yaml(folder):
    (folder / "hyperparams.yaml").write_text(f"format: {FORMAT}\na: 1\n")


def _spoil_weights(folder):
    (folder / "weights.safetensors").write_bytes(b"no weights")


def _swap_weights(folder):
    save_file({"model.decoder.bias": torch.zeros(3)}, folder / "weights.safetensors")


def _swap_units(folder):
    index = {"kind": "phoneme", "size": 4, "phonemes": ["a", "b"]}
    (folder / "save/units/units.json").write_text(json.dumps(index))


def _spoil_result(folder):
    (folder / "result.json").write_text("{")


@pytest.mark.parametrize(
    "spoil, words",
    [
        (_spoil_yaml, "has no 'model'; is this a result folder"),
        (_spoil_weights, "cannot be read as weights"),
        (_swap_weights, "does not fit the model"),
        (_swap_units, "but save/units holds 4"),
        (_spoil_result, "is not valid JSON"),
    ],
)
def test_a_spoilt_folder(tiny, tmp_path, spoil, words):
    """What does not fit is named."""
    folder = copy_without(tiny[1], tmp_path / "run")
    spoil(folder)
    with pytest.raises(UserError, match=words):
        Recognizer.from_folder(folder)


@pytest.mark.parametrize("device", ["quantum", "meta", "cuda"])
def test_devices_that_are_not_there(tiny, device):
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(UserError, match=f"device {device}"):
        Recognizer.from_folder(tiny[1], device)


@pytest.mark.parametrize(("backend", "told"), [("bogus", "choose one of fused"), ("fused", "need a GPU")])
def test_backends_that_cannot_run(tiny, monkeypatch, backend, told):
    monkeypatch.setenv("SERENANET_OPS_BACKEND", backend)
    with pytest.raises(UserError, match=f"SERENANET_OPS_BACKEND.*{backend}.*{told}"):
        Recognizer.from_folder(tiny[1], "cpu")


def test_bad_batch_seconds(recognizer, clips):
    with pytest.raises(UserError, match="batch_seconds is 0"):
        recognizer.transcribe(clips, batch_seconds=0)
