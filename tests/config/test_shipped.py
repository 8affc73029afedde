"""Every file of hparams/ is a whole model of the size that it says, and its parts can be swapped."""

import io

import pytest
from hyperpyyaml import load_hyperpyyaml

from tests.support.encoders import settled
from tests.support.hparams import DATASET, built, error, load
from tests.support.presets import LANGUAGE_MODEL, MODELS, preset


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.fixture(name="shipped", scope="module", params=MODELS)
def _shipped(request):
    hparams = settled(load(preset(request.param), ("data_folder", "/data"), ("n_units", "40"), dataset=DATASET))
    return request.param, hparams, hparams.build()


MILLIONS = {  # of the model and of its encoder, least and most
    "serenanet": ((20, 24), (18.8, 19.0)),
    "serenanet/large": ((78, 90), (75, 77)),
    "serenanet/small": ((1, 5), (1, 5)),
    "serenanet/demo": ((0.3, 3), (0.3, 3)),
    "conformer_ctc": ((1, 5), (1, 5)),
    "conmamba_ctc": ((10.0, 10.1), (9.9, 10.0)),
    "conmamba_ctc/large": ((31.5, 31.7), (31, 31.5)),  # published: 31.6
    "conmamba_causal": ((9.7, 9.9), (9.6, 9.8)),
    "conmamba_causal/small": ((1.7, 1.8), (1.6, 1.7)),
    "fast_conformer": ((18.9, 19.0), (18.2, 18.3)),
    "fast_conformer/2m": ((1.7, 1.8), (1.5, 1.6)),
    "fast_conformer/5m": ((5.2, 5.3), (4.7, 4.8)),
    "fast_conformer/19m": ((18.9, 19.0), (18.2, 18.3)),
    "fast_conformer/50m": ((50.8, 51.0), (49.7, 49.8)),
    "fast_conformer/115m": ((115.0, 115.2), (113.6, 113.7)),
    "fast_conformer_streaming": ((18.9, 19.0), (18.2, 18.3)),
    "ssm": ((19.3, 19.5), (18.5, 18.6)),
    "ssm/2m": ((2.0, 2.1), (1.8, 1.9)),
    "ssm/5m": ((4.9, 5.0), (4.3, 4.4)),
    "ssm/19m": ((19.3, 19.5), (18.5, 18.6)),
    "ssm/50m": ((50.8, 51.0), (49.6, 49.7)),
    "ssm/150m": ((149.4, 149.5), (147.4, 147.5)),
    "hmamba": ((10.1, 10.2), (9.9, 10.0)),
    "hmamba_early": ((10.1, 10.2), (9.9, 10.0)),
    "hmamba_pooling": ((10.0, 10.1), (9.9, 10.0)),
    "conmamba_ctc/small": ((1.7, 2), (1.7, 2)),
    "hmamba/small": ((1.7, 2), (1.7, 2)),
    "hmamba_early/small": ((1.7, 2), (1.7, 2)),
    "hmamba_pooling/small": ((1.7, 2), (1.7, 2)),
    "pessl": ((20, 24), (18.8, 19.0)),
    "pessl/small": ((1, 5), (1, 5)),
    "conmamba_s2s": ((11.5, 12.5), (9.9, 10.0)),
    "conmamba_s2s/large": ((105, 110), (81, 83)),
    "conmamba_s2s/librispeech_100": ((11.5, 12.5), (9.9, 10.0)),
    "conformer_s2s": ((10.5, 12.5), (9, 10)),
    "whisper_like": ((19.3, 19.5), (12.3, 12.4)),  # this and those below: of 40 units
    "whisper_like/2m": ((1.7, 1.8), (0.9, 1.0)),
    "whisper_like/5m": ((5.2, 5.4), (2.6, 2.7)),
    "whisper_like/19m": ((19.3, 19.5), (12.3, 12.4)),
    "whisper_like/50m": ((49.4, 49.6), (31.5, 31.6)),
    "whisper_like/100m": ((96.8, 97.0), (68.9, 69.0)),
    "whisper": ((45, 46), (18.9, 19.0)),
    "pretrained_ctc": ((2.0, 2.6), (0, 0.01)),  # this and those below: of a tiny encoder
    "pretrained_ctc/all": ((2.0, 2.6), (0, 0.01)),
    "pretrained_ctc/conmamba": ((1.0, 4.0), (0, 0.01)),
    "pretrained_ctc/linear": ((0, 0.01), (0, 0.01)),
    "pretrained_ctc/lora": ((2.0, 2.6), (0, 0.01)),
    "pretrained_ctc/serenanet": ((2.0, 2.8), (0, 0.01)),
    "pretrained_ctc/top": ((2.0, 2.6), (0, 0.01)),
    "speech_llm": ((3.2, 3.9), (0, 0.01)),  # of a tiny language model too
    "speech_llm/granite_doge": ((0.05, 0.2), (0, 0.01)),
}


def test_shipped_sizes(shipped):
    name, _, made = shipped
    for module, (low, high) in zip((made["model"], made["encoder"]), MILLIONS[name], strict=True):
        assert low * 1e6 <= count(module) <= high * 1e6
    assert made["model"].acoustic.encoder is made["encoder"] and made["modules"]["model"] is made["model"]


def test_shipped_text_stands_alone(shipped):
    name, hparams, made = shipped
    again = load_hyperpyyaml(io.StringIO(hparams.text))
    assert again.keys() == made.keys()
    shapes = [{k: v.shape for k, v in m["model"].state_dict().items()} for m in (again, made)]
    assert shapes[0] == shapes[1]
    assert hparams.plain()["output_folder"] == f"results/CommonVoice/sw/{made['experiment']}/{made['seed']}"
    assert {"lr", "preparation", "locale", "n_units", "lm"} <= hparams.plain().keys()


def test_shipped_needs_its_data(shipped):
    name = shipped[0]
    assert error(preset(name), dataset=DATASET) == (
        f"{preset(name)[-1]}: 'data_folder' has no value; give it with --data_folder VALUE"
    )


def test_the_comparison_model_is_as_large_as_ours():
    sizes = [
        count(built(preset(name), ("data_folder", "/d"), ("n_units", "40"), dataset=DATASET)["model"])
        for name in ("serenanet/small", "conformer_ctc")
    ]
    assert 0.85 < sizes[0] / sizes[1] < 1.15


def test_shipped_language_model():
    """It has no data of a corpus, and its text stands alone."""
    hparams = load(preset(LANGUAGE_MODEL), ("dataset", "LM"), ("acoustic", "results/x"), ("n_units", "40"))
    assert 36e6 < count(hparams.build()["model"]) < 40e6
    again = load_hyperpyyaml(io.StringIO(hparams.text))
    assert again["output_folder"] == "results/LM/transformer_lm/1986" and again["lr"] == hparams.plain()["lr"]


@pytest.mark.parametrize("name", ["conmamba_s2s", "conformer_s2s"])
def test_the_label_decoder_can_be_of_mamba_layers(name):
    options = (("data_folder", "/d"), ("n_units", "40"), ("attention_decoder", "!include:decoders/mamba.yaml"))
    model = load(preset(name), *options, dataset=DATASET).build()["model"]
    assert type(model.attention.stack.layers[0].mixer).__name__ == "Mamba"


@pytest.mark.parametrize(
    ("pretraining", "recogniser", "options"),
    [
        ("pessl", "serenanet", []),
        ("pessl/small", "serenanet/small", [("pessl", "!include:pretraining/pessl.yaml")]),
    ],
)
def test_pretraining_fits_its_recogniser(pretraining, recogniser, options, tmp_path):
    """Each pre-trained tensor has its place in the recogniser, whose masks are milder; all else is one file's."""
    made = [
        load(preset(name), ("data_folder", "/d"), ("n_units", "40"), *more, dataset=DATASET)
        for name, more in ((pretraining, []), (recogniser, options))
    ]
    models = [hparams.build()["model"] for hparams in made]
    shapes = [{name: t.shape for name, t in model.state_dict().items()} for model in models]
    assert shapes[0].items() <= shapes[1].items()
    assert {name.partition(".")[0] for name in shapes[1].keys() - shapes[0].keys()} == {"decoder", "car"}
    hidden = [1 - (1 - m.acoustic.pessl.mask_start) ** m.acoustic.pessl.mask_length for m in models]
    assert 0.5 < hidden[0] < 0.65 and 0.05 < hidden[1] < 0.15
    (tmp_path / "other.yaml").write_text(made[1].text)
    changed = made[0].differences(tmp_path / "other.yaml")
    differ = {"experiment", "brain", "output_folder", "pessl", "acoustic_model", "car", "model", "modules"}
    assert set(changed) - {"opt_class"} == differ | {"spec_augment"}  # how it is learned may differ


def test_a_shipped_part_can_be_swapped_from_the_command_line():
    swaps = [("frontend", "!include:frontends/conv2d.yaml"), ("car", "null")]
    made = built(preset("serenanet/small"), ("data_folder", "/d"), ("n_units", "40"), *swaps, dataset=DATASET)
    assert type(made["model"].acoustic.frontend).__name__ == "ConvFrontend" and made["model"].car is None
