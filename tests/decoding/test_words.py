"""What words score, and what a model of few words changes."""

import numpy as np
import pytest

from serenanet_modules.analysis.scoring import score
from serenanet_modules.decoding import ngram
from serenanet_modules.decoding.arpa import NGram
from serenanet_modules.decoding.beam import BeamDecoder
from serenanet_modules.decoding.greedy import collapse
from serenanet_modules.decoding.tree import Tree
from serenanet_modules.decoding.words import Words
from tests.support.fake_units import FakeUnits
from tests.support.tiny import SAMPLE, read_tsv

COMMANDS = ["washa taa", "zima taa", "fungua mlango", "funga mlango"]
UNITS = FakeUnits(["<blank>", "▁", *"abcdefghijklmnopqrstuvwxyz"], "▁")


def heard(text, sure=0.9):
    """Log-probabilities (T, V) of a network that is quite sure of each letter, one in two frames."""
    labels = [UNITS.pieces.index("▁" if letter == " " else letter) for letter in text]
    frames = np.full((2 * len(labels) + 1, UNITS.size), (1 - sure) / (UNITS.size - 1), np.float32)
    frames[1::2][range(len(labels)), labels] = sure
    frames[::2, 0] = sure
    return np.log(frames)


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    path = tmp_path_factory.mktemp("lm") / "commands.arpa"
    ngram.estimate(COMMANDS, 2, path, "own")
    return path


@pytest.mark.parametrize("weights", [(0.5, 3.0), (0.75, 4.5), (1.5, 0.0)])
def test_a_model_of_few_words_changes_no_others(commands, weights):
    """It neither glues words that it lacks together nor splits them, and its own are still preferred."""
    decoder = BeamDecoder(UNITS, commands, lm_weight=weights[0], word_score=weights[1])
    for text in ("kisu kikubwa kiko wapi sasa", "mkate wao ni ghali kweli"):
        assert decoder.best(heard(text)).text == text
    frames = heard("washa tao")
    wrong, right = (UNITS.pieces.index(letter) for letter in "oa")
    frames[-2, right] = frames[-2, wrong] - 1.0
    assert decoder.best(frames).text == "washa taa"


def test_a_model_that_met_each_word_often_doubts_others_more(tmp_path):
    """Of the same words, by the text they stand in; and a word like its own is a likelier unknown one."""
    words = []
    for i, text in enumerate(([" ".join(COMMANDS)], [f"{a} {b}" for a in COMMANDS for b in COMMANDS])):
        ngram.estimate(text * 3, 2, tmp_path / str(i), "own")
        words.append(Words(UNITS, NGram(tmp_path / str(i))))
    seldom, often = (found.ngram.unigram("?") for found in words)
    assert often < seldom - 0.5
    like, unlike = (end_of(words[1], spelling) for spelling in ("fungula", "fgnulua"))
    assert like > unlike


def end_of(words, spelling):
    """The score of one word."""
    context = words.start()
    for letter in spelling:
        context = words.extend(context, UNITS.pieces.index(letter))
    assert context.tree < 0
    return words.completed(context)[0]


def test_what_lies_ahead_is_the_best():
    tree = Tree([([1, 2], 0), ([1, 3], 1), ([2], 2), ([2], 3)])
    assert tree.ending_word.tolist() == [2, 3, 0, 1]
    assert tree.best_ahead(np.array([-4.0, -3.0, -2.0, -1.0])).tolist() == [-1.0, -1.0, -3.0, -2.0, -1.0]


def test_usual_weights_do_no_harm(tmp_path):
    """Weights guessed from a model of few sentences of the embedded corpus: never worse than greedy by their noise."""
    train, dev = (
        [row["sentence"].lower().strip(".?!").replace(",", "") for row in read_tsv(SAMPLE / f"{split}.tsv")]
        for split in ("train", "dev")
    )
    units = FakeUnits(["<blank>", "▁", *sorted(set("".join(train + dev)) - {" "})], "▁")
    frames = [noisy(units, text, seed) for seed, text in enumerate(dev)]
    greedy = wrong(dev, [units.decode(collapse(row.argmax(1).tolist())[0]) for row in frames])
    for size, most in {10: greedy + 2, 40: greedy, 120: greedy / 2}.items():
        ngram.estimate(train[:size], 3, tmp_path / str(size), "own")
        usual = BeamDecoder(units, tmp_path / str(size))
        assert wrong(dev, [usual.best(row).text for row in frames]) <= most
        if size < 120:
            bold = usual.with_weights(0.5, 0.0)
            assert wrong(dev, [bold.best(row).text for row in frames]) > most


def noisy(units, text, seed):
    """Log-probabilities (T, V) of a network that takes one letter in forty for another."""
    labels = [units.pieces.index("▁" if letter == " " else letter) for letter in text]
    scores = 1.4 * np.random.default_rng(seed).normal(size=(2 * len(labels) + 1, units.size))
    scores[1::2][range(len(labels)), labels] += 6.0
    scores[::2, 0] += 8.0
    return (scores - np.log(np.exp(scores).sum(1, keepdims=True))).astype(np.float32)


def wrong(references, texts):
    return score(references, texts).total.errors
