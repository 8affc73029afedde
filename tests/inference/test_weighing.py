"""Weights of a language model that was given: those that are best on what the folder keeps of dev, found once."""

import shutil

import numpy as np
import pytest
import torch

from serenanet_modules.analysis.scoring import score
from serenanet_modules.decoding import ngram
from serenanet_modules.decoding.rows import Row
from serenanet_modules.decoding.tuning import LM_WEIGHTS, WORD_SCORES
from serenanet_modules.errors import UserError
from serenanet_modules.inference import weighing
from serenanet_modules.inference.recognizer import Recognizer
from serenanet_modules.runs.dev import FILE, NONE, WITHIN, Known, read_dev, write_dev
from tests.support.folders import make_random_result
from tests.support.presets import preset

TEXTS = ("saa mbili", "saa tatu", "mbili saa", "tatu")
SMALL = [("d_model", "24"), ("n_mels", "40"), ("features.n_fft", "512"), ("encoder.n_layers", "1")]

HYBRID = [*SMALL, ("units", "char"), ("attention_decoder.n_layers", "1")]


def said(units, text, doubt):
    """Log-probabilities of a text, whose letters are doubtful."""
    labels = [label for unit in units.encode(text) for label in (unit, 0)]
    rows = np.full((len(labels), units.size), -9.0, np.float32)
    rows[np.arange(len(labels)), labels] = 0.0
    rows += doubt * np.random.default_rng(len(text)).normal(size=rows.shape).astype(np.float32)
    return Row(1.0, torch.from_numpy(rows).log_softmax(1), None)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "run").mkdir()
    run = make_random_result(tmp_path / "run", preset("conmamba_causal/small"), *SMALL, texts=TEXTS)
    units = Recognizer.from_folder(run).units
    write_dev(run, [Known(text, [said(units, text, 4.0)]) for text in TEXTS], seed=1)
    for name, texts in {"one": TEXTS, "other": TEXTS[:1]}.items():
        ngram.estimate(list(texts), 2, tmp_path / f"{name}.arpa")
    return run


@pytest.fixture
def tunings(monkeypatch):
    """The language models that weights are sought for."""
    found, tune = [], weighing.tune

    def counted(decoder, *arguments, **more):
        found.append(decoder.lm.path.stem)
        return tune(decoder, *arguments, **more)

    monkeypatch.setattr(weighing, "tune", counted)
    return found


def test_dev_is_kept(tmp_path):
    """What a search would try, to three digits; an utterance may have no piece or several."""
    (tmp_path / "save").mkdir()
    rng = torch.Generator().manual_seed(0)
    rows = [Row(n, 8 * torch.randn(n, 5, generator=rng), torch.randn(n, 3, generator=rng)) for n in (4, 1, 3)]
    write_dev(tmp_path, [Known("saa", rows[:2]), Known("", []), Known("tatu", rows[2:])], seed=1)
    found = {known.text: known.rows for known in read_dev(tmp_path)}
    assert {text: len(kept) for text, kept in found.items()} == {"saa": 2, "": 0, "tatu": 1}
    for before, after in zip(rows, [*found["saa"], *found["tatu"]], strict=True):
        near = before.log_probs >= before.log_probs.amax(1, keepdim=True) - WITHIN
        assert 0 < near.sum() < near.numel() and (after.log_probs[~near] == NONE).all()
        assert (before.log_probs - after.log_probs)[near].abs().max() < 0.02
        assert (before.hidden - after.hidden).abs().max() < 0.002 and before.seconds == after.seconds


def test_weights_are_sought_once_for_each_model(folder, tmp_path, tunings):
    """They are the best of dev, and another model's are its own; what is given is not sought."""
    one, other = tmp_path / "one.arpa", tmp_path / "other.arpa"
    chosen = Recognizer.from_folder(folder).decoder(one)
    again, given = Recognizer.from_folder(folder), Recognizer.from_folder(folder).wishing(lm_weight=0.1, word_score=2.0)
    assert [(d.lm_weight, d.word_score) for d in (again.decoder(one), again.wishing(nbest=2).decoder(one))] == [
        (chosen.lm_weight, chosen.word_score)
    ] * 2
    assert tunings == ["one"] and again.decoder(other) and tunings == ["one", "other"]
    assert (given.decoder(one).lm_weight, given.decoder(one).word_score) == (0.1, 2.0) and len(tunings) == 2
    dev = read_dev(folder)

    def wrong(decoder):
        return score(
            [known.text for known in dev], [decoder.best(known.rows[0].log_probs).text for known in dev]
        ).total.errors

    tried = {(a, b): wrong(chosen.with_weights(a, b)) for a in LM_WEIGHTS for b in WORD_SCORES}
    assert wrong(chosen) == min(tried.values()) < max(tried.values())
    write_dev(folder, [Known("tatu", [said(again.units, "tatu", 1.0)])], seed=1)
    assert Recognizer.from_folder(folder).decoder(one) and tunings == ["one", "other", "one"]


def test_hotwords_of_a_hybrid_model(folder, tmp_path, tunings):
    """It searches CTC for them, and the weights are sought in that search, without them."""
    hybrid = make_random_result(tmp_path / "hybrid", preset("conmamba_s2s"), *HYBRID, texts=TEXTS)
    shutil.copy(folder / FILE, hybrid / FILE)
    found = Recognizer.from_folder(hybrid).wishing(hotwords=(("tatu", 2.0),)).decoder(tmp_path / "one.arpa")
    assert found.name == "decoder/prefix-beam+lm+hotwords" and tunings == ["one"]
    plain = Recognizer.from_folder(folder).decoder(tmp_path / "one.arpa")
    assert (found.lm_weight, found.word_score) == (plain.lm_weight, plain.word_score)
    assert tunings == ["one"]  # the same search of the same dev, whoever asks


def test_what_cannot_be_weighed(folder, tmp_path, tunings, caplog):
    """Without what dev was, the weights are guessed from the model; a broken file is an error."""
    (folder / FILE).write_bytes(b"PK\x03\x04 no")
    with pytest.raises(UserError, match=f"{FILE}: is damaged"):
        Recognizer.from_folder(folder).decoder(tmp_path / "one.arpa")
    (folder / FILE).unlink()
    decoder = Recognizer.from_folder(folder).decoder(tmp_path / "one.arpa")
    assert {"lm_weight": decoder.lm_weight, "word_score": decoder.word_score} == decoder.usual and not tunings
    assert f"holds no {FILE}" in caplog.text
