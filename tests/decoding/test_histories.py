"""Words of many hypotheses at once."""

import numpy as np
import pytest

from serenanet_modules.decoding import cpp, ngram
from serenanet_modules.decoding.arpa import NGram
from serenanet_modules.decoding.histories import PlainHistories
from serenanet_modules.decoding.words import Words
from tests.support.fake_units import pieces


@pytest.mark.skipif(cpp.why_not() is not None, reason="needs a C++ compiler")
@pytest.mark.parametrize("lm_weight", [0.7, -0.2, 0.0])
def test_compiled_histories_are_the_plain_ones(tmp_path, lm_weight):
    """Known, unknown and unfinished words, hypotheses that end and those that take another's place."""
    ngram.estimate(["a ab abb", "ab a a", "ba a", "ab ab"], 3, tmp_path / "words.arpa", "own")
    words = Words(pieces(), NGram(tmp_path / "words.arpa"), None, lm_weight, 0.3, {"aab": 2.0})
    kinds, generator = [PlainHistories(words), cpp.CompiledHistories(words)], np.random.default_rng(0)
    states = [kind.start(50) for kind in kinds]
    for _ in range(12):
        units, order = generator.integers(1, 4, 50), generator.integers(0, 50, 50)
        units[generator.random(50) < 0.1] = -1
        (plain, compiled), states = zip(*(k.step(units, s) for k, s in zip(kinds, states, strict=True)), strict=True)
        assert len(set(plain[0].round(9))) > 1
        np.testing.assert_allclose(compiled, plain, atol=1e-12)
        states = [kind.reorder(state, order) for kind, state in zip(kinds, states, strict=True)]
