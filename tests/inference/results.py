"""Result folders of real runs too short to learn anything, whose models say something all the same."""

import shutil

import torch

from serenanet_modules.lobes.ctc_model import CTCModel
from tests.integration.tiny import Run, command, make_corpus

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
    """A copy of a result folder, without its checkpoints, that lacks some files."""
    shutil.copytree(result, folder, ignore=shutil.ignore_patterns("CKPT*"))
    for name in names:
        (folder / name).unlink()
    return folder
