"""Positions are relative, lengths free, sizes as planned."""

import pytest
import torch
from torch.nn import functional

from serenanet_modules.lobes.blocks.rotary import rotary_angles, rotate
from serenanet_modules.lobes.encoders.rotary import RotaryTransformerEncoder


def size(encoder):
    return sum(p.numel() for p in encoder.parameters())


def test_sizes():
    per_layer = 4 * (512 * 512 + 512) + 2 * 512 * 2048 + 2048 + 512 + 2 * 2 * 512
    small = size(RotaryTransformerEncoder(512, 8, 6, 2048))
    assert small == 6 * per_layer + 2 * 512 == 18_915_328
    with torch.device("meta"):
        assert size(RotaryTransformerEncoder(1024, 16, 6, 4096)) == 75_579_392


def test_attention_scores_depend_on_distance_only():
    q, k = torch.randn(1, 32, dtype=torch.float64), torch.randn(1, 32, dtype=torch.float64)
    cos, sin = (part.double() for part in rotary_angles(200, 32, "cpu"))

    def score(i, j):
        return (rotate(q, (cos[i], sin[i])) * rotate(k, (cos[j], sin[j]))).sum().item()

    for distance in (0, 1, -7, 50):
        scores = [score(i + distance, i) for i in (60, 75, 100, 140)]
        assert scores == pytest.approx([scores[0]] * 4, abs=1e-4)
    assert abs(score(3, 0) - score(0, 3)) > 1e-3  # but direction counts


def test_rotation_keeps_norms_and_starts_at_zero():
    x = torch.randn(2, 9, 16)
    y = rotate(x, rotary_angles(9, 16, "cpu"))
    torch.testing.assert_close(y.norm(dim=-1), x.norm(dim=-1))
    torch.testing.assert_close(y[:, 0], x[:, 0])


def test_shifted_attention_is_the_same():
    layer = RotaryTransformerEncoder(32, 4, 1, 64).eval().layers[0]
    x = torch.randn(1, 20, 32)
    mask = torch.ones(1, 1, 1, 20, dtype=torch.bool)
    cos, sin = rotary_angles(120, layer.head_size, "cpu")
    want = layer(x, mask, (cos[:20], sin[:20]))
    torch.testing.assert_close(layer(x, mask, (cos[100:], sin[100:])), want, rtol=1e-4, atol=1e-5)


def test_attention_against_a_plain_softmax():
    layer = RotaryTransformerEncoder(12, 3, 1, 24).eval().layers[0]
    x, mask = torch.randn(2, 7, 12), torch.ones(2, 1, 1, 7, dtype=torch.bool)
    mask[1, ..., 4:] = False
    rotation = rotary_angles(7, 4, "cpu")
    qkv = functional.linear(x, layer.qkv.weight, layer.qkv.bias).chunk(3, dim=-1)
    heads = []
    for h in range(3):
        q, k, v = (part[..., 4 * h : 4 * h + 4] for part in qkv)
        scores = rotate(q, rotation) @ rotate(k, rotation).transpose(1, 2) / 2
        heads.append(scores.masked_fill(~mask[:, 0], -1e9).softmax(-1) @ v)
    torch.testing.assert_close(layer._attend(x, mask, rotation), layer.out(torch.cat(heads, -1)))


def test_order_matters():
    encoder = RotaryTransformerEncoder(32, 4, 2, 64).eval()
    x = torch.randn(1, 9, 32)
    flipped = encoder(x.flip(1), torch.tensor([9]))[0].flip(1)
    assert (flipped - encoder(x, torch.tensor([9]))[0]).abs().max() > 1e-3


def test_any_length():
    encoder = RotaryTransformerEncoder(8, 2, 1, 16).eval()
    y, lengths, *_ = encoder(torch.randn(1, 3000, 8), torch.tensor([3000]))  # far beyond ten seconds
    assert y.isfinite().all() and lengths.tolist() == [3000]


@pytest.mark.parametrize(("d_model", "n_heads"), [(10, 3), (12, 4)])
def test_sizes_that_cannot_be(d_model, n_heads):
    with pytest.raises(ValueError, match=f"d_model {d_model} must be a multiple of n_heads {n_heads}"):
        RotaryTransformerEncoder(d_model, n_heads, 1, 8)
