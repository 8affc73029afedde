"""Masks keep to their rules, and what is hidden stays hidden."""

import pytest
import torch

from serenanet_modules.lobes.acoustic import Conditions
from serenanet_modules.lobes.encoders.rotary import RotaryTransformerEncoder
from serenanet_modules.lobes.frontends.athm import ATHM
from serenanet_modules.lobes.heads.pessl import PESSL, Masking
from serenanet_modules.lobes.pretraining_model import PretrainingModel
from serenanet_modules.lobes.spectral import SpectralModel
from tests.support.given import Given

D, K = 16, 5


def model(stride=4):
    frontend = ATHM(D, D, gate_size=8, output_stride=stride)
    encoder = RotaryTransformerEncoder(D, n_heads=2, n_layers=2, d_ffn=32)
    return PretrainingModel(SpectralModel(Given(), frontend, encoder, PESSL(D, K, 0.1, 3))).eval()


def every_third(lengths, total):
    """`Conditions` with a Masking that depends on an utterance's own frames only."""
    place = torch.arange(total).expand(len(lengths), -1)
    masking = Masking((place % 3 == 0) & (place < lengths.unsqueeze(1)), (place * 7 + place // 2) % K)
    return Conditions(masker=lambda x, lengths: masking)


@pytest.mark.parametrize(("start", "length"), [(0.08, 10), (0.04, 5), (1.0, 1), (0.5, 2)])
def test_spans(start, length):
    """Valid frames only, in runs of whole spans, at least one where two would fit, and none in shorter utterances."""
    lengths = torch.tensor([1, 2 * length - 1, 2 * length, 57, 400, 399])
    pessl = PESSL(D, K, start, length)
    for _ in range(20):
        mask = pessl.spans(lengths, 450)
        assert mask.shape == (6, 450)
        for row, n in zip(mask, lengths.tolist(), strict=True):
            assert not row[n:].any()
            assert row.any() == (n >= 2 * length)
            edges = torch.diff(torch.cat([torch.zeros(1), row.float(), torch.zeros(1)]))
            runs = (edges == -1).nonzero() - (edges == 1).nonzero()
            assert (runs >= length).all()


def test_share_of_hidden_frames():
    """Spans begin as often as asked: in a long utterance about 1 - (1 - p)^length of the frames are hidden."""
    torch.manual_seed(0)
    pessl = PESSL(D, K, 0.08, 10)
    hidden = pessl.spans(torch.full((20,), 2000), 2000).float().mean()
    assert abs(hidden - (1 - 0.92**10)) < 0.02


def test_spans_come_from_the_seed():
    pessl, lengths = PESSL(D, K, 0.1, 3), torch.tensor([90, 40])
    masks = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        masks.append(pessl.spans(lengths, 90))
    assert torch.equal(masks[0], masks[1]) and not torch.equal(masks[0], masks[2])


@pytest.mark.parametrize("options", [{"mask_start": 0}, {"mask_start": 1.5}, {"mask_length": 0}, {"mask_length": 2.5}])
def test_refused_masks(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        PESSL(D, K, **options)


def test_loss_by_hand():
    """The mean over each utterance's hidden frames; the others do not count, nor does an utterance without any."""
    pessl = PESSL(D, K)
    hidden = torch.randn(2, 4, D)
    masking = Masking(torch.tensor([[True, False, True, False], [False] * 4]), torch.tensor([[1, 0, 4, 2], [0] * 4]))
    log_probs = pessl.head(hidden).log_softmax(-1)
    expected = -(log_probs[0, 0, 1] + log_probs[0, 2, 4]) / 2
    found = pessl(hidden, masking)
    torch.testing.assert_close(found.loss, torch.stack([expected, torch.tensor(0.0)]))
    right = (log_probs[0].argmax(-1) == masking.targets[0])[[0, 2]].sum()
    assert found.correct.tolist() == [int(right), 0] and found.hidden.tolist() == [2, 0]


@pytest.mark.parametrize("stride", [1, 4])
def test_hidden_frames_are_invisible(stride):
    """No input frame behind the mask moves the loss, and every other one does."""
    net, lengths = model(stride), torch.tensor([48])
    x = torch.randn(1, 48, D, requires_grad=True)
    hidden = every_third(-(-lengths // stride), 48 // stride)
    net(x, lengths, hidden).prediction.loss.sum().backward()
    moved = x.grad.abs().sum(-1)[0].unflatten(0, (-1, stride)).sum(1) > 0
    # at 10 ms frames, an input frame reaches others through the 20 and 40 ms branches: only whole groups are hidden
    mask = hidden.masker(None, None).mask[0]
    assert torch.equal(moved, ~mask) if stride == 4 else moved[~mask].all()


def test_everything_learns():
    net, lengths = model(), torch.tensor([48, 30])
    output = net(torch.randn(2, 48, D), lengths, every_third(-(-lengths // 4), 12))
    (output.prediction.loss.mean() + sum(output.extras.regularisers.values())).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters())
