import numpy as np
import pytest

from serenanet_modules.decoding import ngram
from serenanet_modules.decoding.beam import BeamDecoder
from serenanet_modules.decoding.rows import Row
from serenanet_modules.decoding.tuning import tune
from tests.support.fake_units import pieces

REFERENCES = ["ab ab", "a", "ab a ab"]


@pytest.fixture
def decoder(tmp_path):
    ngram.estimate(REFERENCES * 3, 2, tmp_path / "lm", "own")
    return BeamDecoder(pieces(), tmp_path / "lm")


@pytest.fixture
def log_probs():
    """The references' units, b slightly less likely than blank, so that a model is needed."""
    unit = {"a": [[0.0, 0.97, 0.0, 0.03]], "ab": [[0.0, 0.97, 0.0, 0.03], [0.55, 0.0, 0.45, 0.0]]}
    frames = [sum((unit[word] for word in text.split()), []) for text in REFERENCES]
    # A blank frame after each frame keeps equal neighbours apart.
    return [np.log(np.insert(f, range(1, len(f) + 1), [0.97, 0.01, 0.01, 0.01], axis=0) + 1e-4)
            for f in frames]  # fmt: skip


def word_errors(texts):
    pairs = zip(texts, REFERENCES, strict=True)
    return float(sum(a != b for t, r in pairs for a, b in zip(t.split(), r.split(), strict=True)))


def test_finds_a_weight_that_helps(decoder, log_probs):
    found = tune(decoder, log_probs, word_errors, [0.0, 0.5, 1.0], [0.0, 0.5])
    assert len(found.trials) == 6
    none, best = found.trials[0], min(trial[2] for trial in found.trials)
    assert none[2] > 0
    assert found.score == best < none[2]
    tuned = decoder.with_weights(found.lm_weight, found.word_score)
    texts = [h.text for h in tuned.decode_rows([Row(1.0, x, None) for x in log_probs])]
    assert word_errors(texts) == found.score


def test_of_equals_the_first_wins(decoder, log_probs):
    found = tune(decoder, log_probs, lambda texts: 1.0, [0.3, 0.1], [0.2, 0.0])
    assert (found.lm_weight, found.word_score) == (0.3, 0.2)


def test_processes_do_not_change_the_result(decoder, log_probs):
    grid = ([0.0, 0.7], [0.0, 0.5])
    alone = tune(decoder, log_probs, word_errors, *grid)
    assert tune(decoder, log_probs, word_errors, *grid, jobs=2) == alone
