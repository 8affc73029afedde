"""Whisper's layers with CTC on the encoder through the whole job."""

import pytest

from serenanet_modules.inference.recognizer import Recognizer
from tests.support.presets import preset
from tests.support.tiny import Run, command, decoded, heard

MODEL = """
    --d_model 32 --encoder.n_layers 1 --encoder.n_heads 2 --attention_decoder.n_layers 1 --attention_decoder.n_heads 2
    --n_mels 40 --vocab_size 40 --attention_beam_size 3
""".split()


@pytest.fixture(scope="module")
def run(corpus, tmp_path_factory):
    """A whole job of two epochs."""
    folder = tmp_path_factory.mktemp("whisper_like") / "run"
    arguments = command(
        corpus, folder, "--number_of_epochs", 2, "--beam_size", 0, hparams=preset("whisper_like"), model=MODEL
    )
    return Run(arguments, folder).done()


def test_it_learns(run):
    """By both heads."""
    first, last = run.result["history"]
    assert all(last["train"][name] < first["train"][name] for name in ("loss", "ctc", "attention"))
    assert last["dev"]["loss"] < first["dev"]["loss"]


def test_it_transcribes_what_its_evaluation_read(run, corpus):
    rows = decoded(run.folder, "test")
    assert {"decoder/greedy", "attention/greedy", "attention/beam"} <= set(rows[0])
    found = Recognizer.from_folder(run.folder).transcribe(heard(corpus, run.folder, rows))
    texts = [row["attention/beam"] for row in rows]
    assert any(texts) and [transcript.text for transcript in found] == texts
