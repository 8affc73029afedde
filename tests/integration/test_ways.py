"""Ways of training over a public encoder, and heads: the layers of the preset, each through a whole run."""

import sys

import pytest
import torch

from serenanet_modules.config.hparams import Hparams
from serenanet_modules.inference.recognizer import Recognizer
from serenanet_modules.lobes.pretrained import PublicEncoder
from serenanet_modules.runs.public_encoder import EncoderFolder
from tests.support import hooks
from tests.support.encoders import save_encoder
from tests.support.presets import preset
from tests.support.tiny import SAMPLE, checkpoints, same, weights

ENCODER = "model.acoustic.encoder.network."
SHORT = ("--number_of_epochs", 2, "--beam_size", 0)
HEAD = ("--head.n_layers", 1, "--head.d_ffn", 32)
ROTARY = (*HEAD, "--head.n_heads", 2)


@pytest.fixture(scope="module", name="encoder")
def _encoder(tmp_path_factory):
    return save_encoder(tmp_path_factory.mktemp("encoders") / "wav2vec2", "wav2vec2")


@pytest.fixture(name="begin")
def _begin(train, encoder):
    def begin(way, *more, **options):
        model = [str(part) for part in ("--encoder.source", encoder, "--d_model", 32)]
        return train(*SHORT, *more, hparams=preset(f"pretrained_ctc/{way}"), model=model, **options)

    return begin


@pytest.fixture(scope="module", name="start")
def _start(encoder):
    """The encoder's weights as a result folder names them."""
    folder = EncoderFolder(str(encoder))
    made = PublicEncoder(str(encoder), folder.arguments())
    made.load(folder.tensors())
    return {ENCODER + name: tensor for name, tensor in made.network.state_dict().items()}


def changed(folder, start):
    """Names of the encoder's tensors that a run has changed."""
    end = weights(folder)
    return of_the_encoder(name for name, tensor in start.items() if not torch.equal(tensor, end[name]))


def of_the_encoder(names):
    return {name.removeprefix(ENCODER) for name in names}


def test_adapters(begin, start, tmp_path, monkeypatch):
    """Killed and resumed it ends alike; the layers with adapters have changed, and no others; peft is not needed."""
    run = begin("lora", *ROTARY, "--ckpt_interval_minutes", 0.0005, hooks=[hooks.slow])
    run.until(lambda: checkpoints(run.folder))
    run.kill()
    run = begin("lora", *ROTARY).done()
    assert same(run, begin("lora", *ROTARY, folder=tmp_path / "whole").done())
    adapted = {f"body.layers.{i}.attention.{name}_proj.weight" for i in range(2) for name in "qv"}
    assert changed(run.folder, start) == adapted
    for checkpoint in checkpoints(run.folder):
        held = torch.load(checkpoint / "model.ckpt", weights_only=True)
        assert {name for name in held if ".encoder." in name} == {name for name in held if ".lora_" in name} != set()
    assert run.result["trained_parameters"] < run.result["parameters"]["total"]
    monkeypatch.setitem(sys.modules, "peft", None)
    clip = next((SAMPLE / "clips").iterdir())
    assert Recognizer.from_folder(run.folder).transcribe([clip])


def test_from_adapters_to_a_frozen_encoder(begin, start, tmp_path):
    """A run that refers to the source has not the encoder that adapters have changed, and says so; a copy has it."""
    first = begin("lora", *ROTARY).done()
    more = (*ROTARY, "--lora.r", 0, "--freeze", "[acoustic.encoder]", "--speed_perturb", "null")
    more += ("--pretrained", first.folder)
    run = begin("lora", *more, "--keep_encoder", "reference", folder=tmp_path / "reference")
    assert run.wait() == 2 and "Traceback" not in run.output
    assert "has other weights than" in (said := run.output.splitlines()[-1]) and "set 'keep_encoder' to copy" in said
    run = begin("lora", *more, folder=tmp_path / "copy").done()
    held, before = weights(run.folder), weights(first.folder)
    assert changed(run.folder, start) and all(torch.equal(held[name], before[name]) for name in start)


def test_the_top_layers(begin, start):
    run = begin("top", *ROTARY, "--freeze", -1).done()
    found = changed(run.folder, start)
    assert found and all(name.startswith("body.layers.1.") for name in found)


def test_all_of_it_but_its_convolutions(begin, start):
    """After some steps of the head alone."""
    run = begin("all", *ROTARY, "--unfreeze_after", 3).done()
    found = changed(run.folder, start)
    parts, learned = ({name.partition(".")[0] for name in names} for names in (of_the_encoder(start), found))
    assert parts - learned == {"front"}
    assert "From step 4 on all parts are trained" in run.output
    run = begin("all", *ROTARY, "--unfreeze_after", 1000, folder=run.folder.with_name("x")).done()
    assert not changed(run.folder, start)


@pytest.mark.parametrize(
    ("head", "more", "parts"),
    [
        ("linear", (), set()),
        ("conmamba", (*HEAD, "--head.kernel_size", 5), {"head", "project"}),
        ("serenanet", (*ROTARY, "--car.d_model", 16, "--car.d_state", 4), {"head", "project", "car"}),
    ],
)
def test_heads(begin, start, head, more, parts):
    """Each reads the frames that are kept, two of them at a time, and is opened; the encoder keeps its bits."""
    run = begin(head, *more, "--output_stride", 4).done()
    assert run.result["parameters"].keys() == {"encoder", "norm", "decoder", "total"} | parts
    assert not changed(run.folder, start) and run.result["seconds"]["encoder_cache"] > 0
    clip = next((SAMPLE / "clips").iterdir())
    assert Recognizer.from_folder(run.folder).transcribe([clip])


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--lora.targets", "[query]"), "lora.targets: the encoder has no linear layer 'query'"),
        (("--output_stride", 3), "output_stride is 3, but must be a multiple of the encoder's 2"),
        (("--lora.r", -1), "'lora.r' must be between 0 and"),
        (("--freeze", "encoder", "--unfreeze_after", 3), "'lora' freezes the encoder's own weights for good"),
    ],
)
def test_what_cannot_be(begin, more, words):
    """One sentence, before any audio is decoded."""
    run = begin("lora", *ROTARY, *more)
    assert run.wait() == 2 and words in run.output.splitlines()[-1]
    assert "Traceback" not in run.output


@pytest.mark.parametrize("way", ["lora", "top"])
def test_a_way_over_another(way):
    """What `all` says of freezing does not count for another way laid over it."""
    files = [*preset("pretrained_ctc/all"), preset(f"pretrained_ctc/{way}")[1]]
    assert Hparams.load(files).only(("unfreeze_after",)).plain() == {"unfreeze_after": None}
