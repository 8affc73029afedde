"""Result folders of real runs too short to learn anything, whose models say something all the same."""

import json
import shutil

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from serenanet_modules.config.hparams import Hparams
from serenanet_modules.data.units import train_units
from serenanet_modules.lobes.ctc_model import CTCModel
from serenanet_modules.runs.folder import for_use, write_hyperparams
from serenanet_modules.runs.whole import FILE as SUMS
from tests.support.encoders import settled
from tests.support.language_models import tokenizer
from tests.support.presets import preset
from tests.support.tiny import Run, command, make_corpus

BLANK_PENALTY = 10.0  # nats: after a few steps a CTC model says blank and nothing else


def babble(folder):
    """A hook of `Run`: let models begin with an aversion to blank."""
    build = CTCModel.__init__

    def built(self, *args, **kwargs):
        build(self, *args, **kwargs)
        with torch.no_grad():
            self.decoder.bias[0] -= BLANK_PENALTY

    CTCModel.__init__ = built


def make_corpus_and_result(folder, *more):
    """Run the job on a tiny corpus for an epoch; return (corpus, result folder)."""
    corpus = make_corpus(folder / "sw", sizes={"train": 12, "dev": 3, "test": 3})
    arguments = command(corpus, folder / "run", "--number_of_epochs", 1, "--lr", 1e-5, "--scoring", "decoder", *more)
    return corpus, Run(arguments, folder / "run", [babble]).done().folder


def copy_without(result, folder, *names):
    """A copy of a result folder, without checkpoints, that lacks some files; without sums, so that it may change."""
    shutil.copytree(result, folder, ignore=shutil.ignore_patterns("CKPT*"))
    (folder / SUMS).unlink(missing_ok=True)
    for name in names:
        (folder / name).unlink()
    return folder


def calibrate(folder, **maps):
    """Give a result folder maps of confidences, by what stands behind the slash in the decoder's name."""
    file = folder / "result.json"
    result = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"scoring": "decoder"}
    named = {f"{result['scoring']}/{name}": {"map": found.plain, "sets": {}} for name, found in maps.items()}
    file.write_text(json.dumps({**result, "confidence": named}), encoding="utf-8")
    return folder


def make_random_result(folder, hparams, *overrides, units="char", texts=("mama anakula ng'ombe wa baba",), blank=0.0):
    """A result folder of a model that nobody trained, with what a recogniser needs and no more.

    Parameters
    ----------
    folder : Path
    hparams : list of Path
        From `preset`.
    *overrides : (str, str)
        As of a command line.
    units : str
        Their kind; they are made of ``texts``, for phonemes those of a string such as "m a | b a".
    blank : float
        Nats taken from blank, of which random models say too little or too much.
    """
    (folder / "save/units").mkdir(parents=True)
    units = train_units(units, texts, 24 if units in ("bpe", "unigram") else None, folder / "save/units")
    hparams = Hparams.load(hparams)
    hparams.override([("data_folder", "none"), ("dataset", "Random/sw"), ("locale", "sw"), *overrides])
    hparams.set("n_units", units.size)
    settled(hparams)
    write_hyperparams(folder, for_use(hparams))
    torch.manual_seed(1)
    built = hparams.build()
    with torch.no_grad():
        if built["model"].scorings:
            built["model"].decoder.weight.mul_(10)  # for confident posteriors
            built["model"].decoder.bias[0] -= blank
        for statistic, decibel in zip(built["model"].acoustic.statistics.values(), (-30.0, 12.0), strict=False):
            statistic.fill_(decibel)  # about those of speech
        for name, projection in built["model"].named_parameters():
            if name.endswith("chunking.query.weight"):  # as it begins, a chunking hardly finds a boundary
                nn.init.orthogonal_(projection)
    parts = nn.ModuleDict({"model": built["model"]})
    save_file(parts.state_dict(), folder / "weights.safetensors")
    return folder


def make_random_speech_llm(folder, *overrides):
    """A result folder of a speech LLM that nobody trained, which holds its encoder and its language model."""
    tiny = [("encoder.source", "whisper-30s"), ("head", "null"), ("d_model", "32"), ("adapter.d_hidden", "24")]
    kept = [("keep_encoder", "copy"), ("keep_llm", "copy")]
    make_random_result(folder, preset("speech_llm"), *tiny, *kept, *overrides)
    tokenizer().save(str(folder / "save/tokenizer.json"))
    weights = load_file(folder / "weights.safetensors")
    for name, weight in weights.items():
        if name.startswith("model.llm."):  # as it begins, it says nothing
            weight.add_(0.2 * torch.randn_like(weight))
    save_file(weights, folder / "weights.safetensors")
    return folder
