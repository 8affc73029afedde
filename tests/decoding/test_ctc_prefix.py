"""CTC prefix scores are sums over paths."""

import itertools

import numpy as np
import pytest
import torch

from serenanet_modules.decoding import cpp
from serenanet_modules.decoding.cpp.prefixes import CompiledPrefixScorer
from serenanet_modules.decoding.ctc_prefix import CTCPrefixScorer
from tests.support.paths import label_sequences, posteriors


@pytest.fixture(params=[CTCPrefixScorer, CompiledPrefixScorer], ids=["plain", "compiled"])
def kind(request):
    """Both scorers in turn."""
    if request.param is CompiledPrefixScorer and (reason := cpp.why_not()):
        pytest.skip(reason)
    return request.param


def prefix_score(totals, prefix):
    return np.logaddexp.reduce([s for labels, s in totals.items() if labels[: len(prefix)] == prefix] or [-np.inf])


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_every_prefix(frames, kind):
    """Extensions score what all sequences that begin so sum to, and in blank's place stands the sequence itself."""
    log_probs = posteriors(1, frames, 4)
    totals = label_sequences(log_probs[0])
    for prefix in itertools.chain.from_iterable(itertools.product((1, 2, 3), repeat=n) for n in range(frames + 1)):
        scorer = kind(log_probs, torch.tensor([frames]))
        state = scorer.start(1)
        for label in prefix:
            state = scorer.advance(state, torch.tensor([[0]]), torch.tensor([[label]]))
        expected = [totals.get(prefix, -np.inf), *(prefix_score(totals, (*prefix, c)) for c in (1, 2, 3))]
        found = scorer.extend(state)[0, 0].numpy()
        found[found < -1e20] = -np.inf
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_batches_and_beams(kind):
    """Each prefix of each utterance is scored as if it were alone, whatever stands in the padding."""
    lengths = torch.tensor([6, 3, 5])
    log_probs = posteriors(3, 6, 5)
    for row, length in zip(log_probs, lengths, strict=True):
        row[length:] = float("nan")
    scorer = kind(log_probs, lengths)
    state = scorer.start(2)
    for parents, labels in (([0, 0], [1, 2]), ([1, 0], [2, 1]), ([1, 1], [3, 1])):  # the beams are 1 1 3 and 1 1 1
        state = scorer.advance(state, torch.tensor([parents] * 3), torch.tensor([labels] * 3))
    scorer.keep(torch.tensor([0, 2]))
    together = scorer.extend(type(state)(*(part[[0, 2]] for part in state)))
    for row, at in enumerate((0, 2)):
        for beam, prefix in enumerate(((1, 1, 3), (1, 1, 1))):
            alone = kind(log_probs[at : at + 1, : lengths[at]], lengths[at : at + 1])
            own = alone.start(1)
            for label in prefix:
                own = alone.advance(own, torch.tensor([[0]]), torch.tensor([[label]]))
            torch.testing.assert_close(together[row, beam], alone.extend(own)[0, 0])


def test_long_utterances_stay_exact(kind):
    """Over thousands of frames the cumulative sums lose nothing: as torch's own CTC loss."""
    log_probs = (8 * torch.randn(1, 3000, 6, generator=torch.Generator().manual_seed(0))).log_softmax(-1).double()
    labels = torch.randint(1, 6, (1, 40), generator=torch.Generator().manual_seed(1))
    scorer = kind(log_probs, torch.tensor([3000]))
    state = scorer.start(1)
    for label in labels[0]:
        state = scorer.advance(state, torch.tensor([[0]]), label.view(1, 1))
    loss = torch.nn.functional.ctc_loss(log_probs.transpose(0, 1), labels, (3000,), (40,), reduction="sum")
    torch.testing.assert_close(-scorer.extend(state)[0, 0, 0], loss, rtol=1e-9, atol=0)
