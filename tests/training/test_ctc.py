"""CTC's loss is the sum over paths, for each utterance by itself."""

import itertools

import pytest
import torch

from serenanet_modules.decoding.greedy import collapse
from serenanet_modules.training.brains.ctc import ctc_per_utterance, disagreement, frames_needed


def by_paths(log_probs, labels):
    """-ln of the sum over all paths (T, V) that collapse to the labels; infinite where there is none."""
    frames, size = log_probs.shape
    scores = [
        log_probs[range(frames), path].sum()
        for path in itertools.product(range(size), repeat=frames)
        if collapse(path)[0] == labels
    ]
    return -torch.stack(scores).logsumexp(0) if scores else torch.tensor(torch.inf, dtype=log_probs.dtype)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_loss_and_gradient_are_sums_over_paths(precision):
    """Over a ragged batch with repeated labels, none, and as many as fit; padding of frames and labels is anything."""
    utterances = [(5, [1, 1, 2]), (6, [2]), (3, []), (4, [3, 1, 2, 3]), (1, [2]), (5, [1, 1, 1])]
    lengths, label_lengths = (torch.tensor(n) for n in zip(*[(t, len(u)) for t, u in utterances], strict=True))
    labels = torch.full((len(utterances), 5), 3)
    logits = 3 * torch.randn(len(utterances), 8, 4, generator=torch.Generator().manual_seed(0))
    for row, (frames, units) in enumerate(utterances):
        labels[row, : len(units)] = torch.tensor(units, dtype=torch.int64)
        logits[row, frames:] = 1e4
    logits = logits.to(precision).float().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        found = ctc_per_utterance(logits.log_softmax(-1), lengths, labels, label_lengths, 0)
    exact = logits.detach().double().requires_grad_()
    for row, (frames, units) in enumerate(utterances):
        expected = by_paths(exact[row, :frames].log_softmax(-1), units) / max(1, len(units))
        torch.testing.assert_close(found[row].double(), expected, rtol=1e-5, atol=1e-6)
        got, want = (
            torch.autograd.grad(y, x, retain_graph=True)[0] for y, x in ((found[row], logits), (expected, exact))
        )
        error = float((found[row] - expected).detach().abs())
        print(f"difference {error:.1e}, {float((got - want).abs().max()):.1e} in gradients")
        torch.testing.assert_close(got.double(), want, rtol=1e-4, atol=1e-6)


def test_without_a_path_the_loss_is_infinite():
    """So that it is noticed: training asks `frames_needed` first and leaves such utterances out by name."""
    log_probs, one = torch.zeros(1, 4, 3).log_softmax(-1), torch.tensor([[1, 1, 1]])
    assert ctc_per_utterance(log_probs, torch.tensor([4]), one, torch.tensor([3]), 0).isinf()
    assert by_paths(log_probs[0], [1, 1, 1]).isinf()


@pytest.mark.parametrize("labels", [[1], [1, 1], [1, 2], [1, 1, 1], [2, 1, 1], []])
def test_frames_needed_are_the_fewest_that_a_path_has(labels):
    padded = torch.tensor([[*labels, 2, 2]])  # what stands behind the labels does not count
    needed = int(frames_needed(padded, torch.tensor([len(labels)])))
    for frames in range(1, 6):
        exists = torch.isfinite(by_paths(torch.zeros(frames, 3), labels))
        assert bool(exists) == (frames >= needed)


def test_views_of_an_utterance_draw_each_other_near():
    """KL from the other view over valid frames; a view learns from it and does not move the other."""
    logits = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(1)).requires_grad_()
    log_probs, lengths = logits.log_softmax(-1), torch.tensor([3, 2, 3, 2])
    found = disagreement(log_probs, lengths)
    other = log_probs[[2, 3, 0, 1]]
    want = [
        torch.nn.functional.kl_div(log_probs[i, :n], other[i, :n], log_target=True, reduction="sum")
        for i, n in enumerate(lengths)
    ]
    torch.testing.assert_close(found, torch.stack(want))
    gradient = torch.autograd.grad(found[1], logits)[0]
    assert gradient[1, :2].abs().min() > 0 and not gradient[[0, 2, 3]].any() and not gradient[1, 2].any()
    assert not disagreement(log_probs[[0, 1, 0, 1]], lengths).any()
