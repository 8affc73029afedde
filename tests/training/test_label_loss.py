"""The loss of label decoders and language models."""

import pytest
import torch

from serenanet_modules.training.label_loss import label_loss


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_sentence_by_sentence(smoothing):
    """A batch gives what each sentence alone gives, computed by hand, whatever stands in the padding."""
    torch.manual_seed(0)
    logits, labels, lengths = torch.randn(3, 5, 6), torch.randint(1, 6, (3, 4)), torch.tensor([4, 0, 2])
    loss, right = label_loss(logits, labels, lengths, smoothing)
    for i, n in enumerate(lengths.tolist()):
        targets = [*labels[i, :n].tolist(), 0]
        log_probs = logits[i].log_softmax(-1)
        expected = sum(
            -(1 - smoothing) * log_probs[u, c] - smoothing * log_probs[u].mean() for u, c in enumerate(targets)
        )
        torch.testing.assert_close(loss[i], expected)
        assert right[i] == sum(int(logits[i, u].argmax()) == c for u, c in enumerate(targets))
