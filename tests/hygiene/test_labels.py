"""A recogniser knows what its labels told it, and nothing else: with those of other clips it knows nothing."""

import random

import numpy as np
import pytest
import soundfile

from tests.support.tiny import Run, command, write_tsv

TONES = {"a": 300.0, "e": 700.0, "i": 1500.0, "o": 3000.0}  # Hz of each letter, which is a word
LENGTH, RATE = 4, 16000
SIZES = {"train": 64, "dev": 8, "test": 24}
CHANCE = 45.0  # percent of words wrong: random sequences have 72, but dev, whose labels are right, chooses the
# checkpoint; names of the four tones of which two are right by chance have 50


def tones_corpus(folder, permuted):
    """Sequences of tones as a release; ``permuted``: each training clip has the sentence of another."""
    rng = random.Random(0)
    (folder / "clips").mkdir(parents=True)
    for split, size in SIZES.items():
        sentences = ["".join(rng.choices(list(TONES), k=LENGTH)) for _ in range(size)]
        said = rng.sample(sentences, size) if permuted and split == "train" else sentences
        rows = []
        for i, (sentence, text) in enumerate(zip(sentences, said, strict=True)):
            name = f"{split}{i}.wav"
            soundfile.write(folder / "clips" / name, np.concatenate([tone(TONES[letter]) for letter in sentence]), RATE)
            rows.append({"client_id": f"{split}{i % 4}", "path": name, "sentence": " ".join(text)})
        write_tsv(folder / f"{split}.tsv", rows)
    return folder


def tone(hertz):
    """0.25 s, the last third of them silent."""
    time = np.arange(RATE // 4) / RATE
    return 0.3 * np.sin(2 * np.pi * hertz * time) * (time < 0.17)


def word_error_rate(folder, permuted):
    corpus = tones_corpus(folder / "sw", permuted)
    more = ["--number_of_epochs", 40, "--beam_size", 0, "--lm", "null", "--scoring", "decoder", "--lr", 0.004]
    more += ["--early_stopping_patience", 0]
    run = Run(command(corpus, folder / "run", *more), folder / "run")
    assert run.wait(400) == 0, run.output
    return run.result["results"]["test"]["decoder/greedy"]["WER"]["percent"]


@pytest.mark.slow
def test_permuted_labels_teach_nothing(tmp_path):
    """Tones are learned from their names; from those of other clips, no better than by chance."""
    learned, permuted = (word_error_rate(tmp_path / str(other), other) for other in (False, True))
    print(f"WER {learned:.1f} % with their own labels, {permuted:.1f} % with permuted ones")
    assert learned < 20.0
    assert permuted > CHANCE
