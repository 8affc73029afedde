"""Fast Conformer through the whole job: with CAR and look-aheads, and with an attention decoder."""

from functools import cache

import pytest

from serenanet_modules.inference.recognizer import Recognizer
from tests.support.presets import preset
from tests.support.tiny import HYBRID_MODEL, Run, command, decoded, heard

SIZES = """
    --d_model 32 --encoder.n_layers 1 --encoder.n_heads 2 --encoder.kernel_size 5 --frontend.filters 8 --n_mels 40
    --vocab_size 40
""".split()
PARTS = """
    --frontend !include:frontends/striding.yaml --encoder !include:encoders/fast_conformer.yaml --output_stride 8
    --preparation.frames_per_character 0.2
""".split()
CAR = "--car !include:refinement/car.yaml --car.d_model 16 --car.d_state 4 --scoring average".split()
DECODER = HYBRID_MODEL[HYBRID_MODEL.index("--attention_decoder.n_layers") : HYBRID_MODEL.index("--n_mels")]
LOOK_AHEADS = "--encoder.look_aheads [3,1,0] --encoder.left_context 8".split()
RUNS = {
    "streaming with CAR": (preset("fast_conformer_streaming"), [*SIZES, *LOOK_AHEADS, *CAR]),
    "attention decoder": (preset("conmamba_s2s"), [*PARTS, *SIZES, *DECODER, "--attention_beam_size", "3"]),
}


@pytest.fixture(scope="module")
def train_one(corpus, tmp_path_factory):
    """``train_one(name) -> Run``, a whole job of two epochs; each once."""

    @cache
    def train(name):
        folder, (hparams, model) = tmp_path_factory.mktemp("fast_conformer") / "run", RUNS[name]
        return Run(command(corpus, folder, "--number_of_epochs", 2, hparams=hparams, model=model), folder).done()

    return train


@pytest.mark.parametrize("name", RUNS)
def test_it_learns(train_one, name):
    first, last = train_one(name).result["history"]
    assert last["train"]["loss"] < first["train"]["loss"] and last["dev"]["loss"] < first["dev"]["loss"]


def test_its_decoder_is_scored(train_one):
    rows = decoded(train_one("attention decoder").folder, "test")
    assert {"decoder/greedy", "attention/greedy", "attention/beam"} <= set(rows[0])


def test_it_transcribes_what_its_evaluation_read(train_one, corpus):
    folder = train_one("streaming with CAR").folder
    rows = decoded(folder, "test")
    found = Recognizer.from_folder(folder).transcribe(heard(corpus, folder, rows))
    assert [transcript.text for transcript in found] == [row["average/greedy"] for row in rows]
