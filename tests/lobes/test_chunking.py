"""Dynamic chunking against its definition, one frame at a time, and in its limits."""

import pytest
import torch
from torch import nn

from serenanet_modules.lobes.blocks.chunking import FLOOR, DynamicChunking, FixedPooling, smooth
from serenanet_modules.lobes.blocks.lengths import valid_mask, zero_padding
from serenanet_modules.lobes.blocks.parts import Encoder, Frames
from serenanet_modules.lobes.encoders.conmamba import ConMambaEncoder
from serenanet_modules.lobes.encoders.hmamba import ChunkedEncoder

D = 16


class Identity(Encoder):
    """An encoder that does nothing."""

    def forward(self, x, lengths, least=None):
        return Frames(x, lengths)


def batch(lengths=(23, 9, 1)):
    lengths = torch.tensor(lengths)
    return zero_padding(torch.randn(len(lengths), int(lengths.max()), D), lengths), lengths


def conmamba(**options):
    return ConMambaEncoder(D, n_layers=1, d_ffn=24, kernel_size=3, d_state=4, **options)


def test_down_and_up_follow_the_definition():
    """Each utterance by a loop over its frames, from the formulas."""
    chunking = DynamicChunking(D)
    for parameter in chunking.parameters():
        nn.init.normal_(parameter, std=0.3)
    x, lengths = batch()
    chunks, counts, route = chunking.down(x, lengths)
    y = torch.randn_like(chunks)
    up = chunking.up(y, route, x)
    for i, length in enumerate(lengths.tolist()):
        frames, smoothed, chunk = x[i, :length], torch.zeros(D), -1
        for t in range(length):
            p = torch.tensor(1.0)
            if t:
                q, k = chunking.query.weight @ frames[t - 1], chunking.key.weight @ frames[t]
                p = 0.5 * (1 - torch.dot(q, k) / (q.norm() * k.norm()))
            torch.testing.assert_close(route.probabilities[i, t], p, rtol=1e-4, atol=1e-6)
            if p > 0.5:
                chunk += 1
                assert torch.equal(chunks[i, chunk], frames[t])
                weight = p.clamp(FLOOR, 1 - FLOOR)
                smoothed = weight * y[i, chunk] + (1 - weight) * smoothed
            expected = smoothed + chunking.residual.weight @ frames[t] + chunking.residual.bias
            torch.testing.assert_close(up[i, t], expected, rtol=1e-4, atol=1e-5)
        assert counts[i] == chunk + 1
        assert not up[i, length:].any() and not chunks[i, chunk + 1 :].any()


def test_ratio_loss_is_least_where_probabilities_follow_the_target():
    """1 at the target ratio with equal hard and soft shares; boundaries everywhere or nowhere cost more."""
    chunking, valid = DynamicChunking(D, target=4), torch.ones(1, 400, dtype=torch.bool)
    steps = torch.arange(400)[None]

    def loss(every):
        hits = steps % every == 0
        return float(chunking._ratio_loss(hits.float(), hits, valid))

    assert loss(4) == pytest.approx(1.0, abs=1e-6)
    assert loss(1) > loss(2) > loss(4) < loss(8) < loss(100)


def test_ratio_loss_ignores_padding():
    chunking = DynamicChunking(D)
    x, lengths = batch((23, 9))
    padded = torch.cat([x, torch.zeros(2, 40, D)], dim=1)
    first, second = (chunking.down(frames, lengths)[2].ratio_loss for frames in (x, padded))
    torch.testing.assert_close(second, first)


def test_the_choice_passes_gradients_to_the_routing():
    """Both readings move the routing's weights, without the ratio loss."""
    for read in ("frames", "chunks"):
        encoder = ChunkedEncoder(Identity(), DynamicChunking(D), conmamba(), read=read)
        x, lengths = batch()
        encoder(x, lengths)[0].square().sum().backward()
        assert encoder.chunking.query.weight.grad.abs().max() > 0


def test_all_boundaries_equal_the_plain_encoder():
    """With every frame a sure boundary and no residual, the two rates are one."""
    outer, inner = conmamba().eval(), conmamba().eval()
    chunking = DynamicChunking(D)
    with torch.no_grad():
        chunking.key.weight.neg_()
    x, lengths = batch()
    constant = Identity()
    constant.forward = lambda x, lengths: Frames(zero_padding(torch.ones_like(x), lengths), lengths)
    sure = ChunkedEncoder(constant, chunking, inner)(x, lengths)[0]
    torch.testing.assert_close(sure, inner(zero_padding(torch.ones_like(x), lengths), lengths)[0], rtol=1e-3, atol=1e-3)
    chunking.probabilities = lambda before, x: torch.ones(x.shape[:2])
    two_rates, *_ = ChunkedEncoder(outer, chunking, inner)(x, lengths)
    torch.testing.assert_close(two_rates, inner(*outer(x, lengths)[:2])[0], rtol=1e-3, atol=1e-3)


def test_one_boundary_gives_every_frame_the_first_chunk():
    """Equal frames are one chunk, whatever the length; the output is finite and the same in all frames."""
    encoder = ChunkedEncoder(Identity(), DynamicChunking(D), conmamba()).eval()
    lengths = torch.tensor([50, 3])
    x = zero_padding(torch.randn(2, 1, D).expand(2, 50, D), lengths)
    y, _, extras, _ = encoder(x, lengths)
    assert extras.pictures["start"].values.sum(1).tolist() == [1, 1]
    torch.testing.assert_close(y[0], y[0, :1].expand(50, D))
    torch.testing.assert_close(y[1, :3], y[1, :1].expand(3, D))
    assert y.isfinite().all() and y[0].abs().max() > 0


def test_least_lifts_the_most_probable_frames():
    """As many chunks as asked for, where there are frames; boundaries that were there stay."""
    chunking = DynamicChunking(D)
    x, lengths = batch()
    free = chunking.down(x, lengths)[2]
    least = torch.tensor([20, 20, 20])
    _, counts, route = chunking.down(x, lengths, least)
    assert torch.equal(counts, torch.maximum(free.counts, torch.minimum(least, lengths)))
    assert (route.boundaries | ~free.boundaries).all()
    lifted, left = route.boundaries & ~free.boundaries, ~route.boundaries & valid_mask(lengths, x.shape[1])
    for i in range(len(x)):
        if lifted[i].any() and left[i].any():
            assert route.probabilities[i][lifted[i]].min() >= route.probabilities[i][left[i]].max()


def test_an_encoder_of_frames_needs_no_least_number():
    """Chunks are then cut where they are, whatever CTC needs; where chunks come out, they are as many."""
    parts = [ConMambaEncoder(16, n_layers=1, d_ffn=32, kernel_size=3) for _ in range(2)]
    x, lengths, least = torch.randn(2, 30, 16), torch.tensor([30, 25]), torch.tensor([28, 25])
    chunking = DynamicChunking(16)
    frames = ChunkedEncoder(parts[0], chunking, parts[1]).eval()
    free, asked = (frames(x, lengths, needed) for needed in (None, least))
    assert torch.equal(free.x, asked.x) and torch.equal(free.extras.chunks, asked.extras.chunks)
    chunks = ChunkedEncoder(parts[0], chunking, parts[1], read="chunks").eval()
    assert (chunks(x, lengths, least).lengths >= least).all() and not (chunks(x, lengths).lengths >= least).all()


def test_max_gap_bounds_every_chunk():
    chunking = DynamicChunking(D, max_gap=3)
    lengths = torch.tensor([31, 8])
    route = chunking.down(zero_padding(torch.ones(2, 31, D), lengths), lengths)[2]
    assert route.boundaries[0].nonzero().squeeze().tolist() == list(range(0, 31, 3))
    assert route.counts.tolist() == [11, 3]


def test_smoothing_equals_its_recurrence():
    y, p = torch.randn(2, 40, 24), torch.rand(2, 40)
    p[0, 3], p[1, 7] = 0.0, 1.0
    z, expected = torch.zeros(2, 24), []
    for k in range(40):
        weight = p[:, k : k + 1].clamp(FLOOR, 1 - FLOOR)
        z = weight * y[:, k] + (1 - weight) * z
        expected.append(z)
    torch.testing.assert_close(smooth(y, p), torch.stack(expected, 1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("max_gap", [None, 2])
def test_steps_equal_forward(max_gap):
    """For several utterances at once, whose chunks begin at different frames."""
    encoder = ChunkedEncoder(conmamba(causal=True), DynamicChunking(D, max_gap=max_gap), conmamba(causal=True)).eval()
    nn.init.normal_(encoder.chunking.residual.weight, std=0.3)
    x = torch.randn(3, 29, D)
    whole, _, extras, _ = encoder(x, torch.full((3,), 29))
    counts = extras.pictures["start"].values.sum(1)
    assert 3 < counts.min() and len(set(counts.tolist())) > 1
    for cut in ((1,) * 29, (7, 20, 2), (29,)):
        state, pieces = encoder.init_state(3), []
        for piece in x.split(list(cut), dim=1):
            y, state = encoder.step(piece, state)
            pieces.append(y)
        torch.testing.assert_close(torch.cat(pieces, dim=1), whole, rtol=1e-4, atol=1e-5)


def test_what_cannot_stream_says_so():
    for encoder in (
        ChunkedEncoder(conmamba(), DynamicChunking(D), conmamba()),
        ChunkedEncoder(conmamba(causal=True), FixedPooling(D), conmamba(causal=True)),
        ChunkedEncoder(conmamba(causal=True), DynamicChunking(D), conmamba(causal=True), read="chunks"),
    ):
        with pytest.raises(TypeError):
            encoder.init_state(1)


def test_pooling_is_a_mean_over_valid_frames_and_back():
    x, lengths = batch((7, 4))
    pooling = FixedPooling(D, stride=3)
    chunks, counts, route = pooling.down(x, lengths)
    assert counts.tolist() == [3, 2] and torch.equal(route.counts, counts)
    torch.testing.assert_close(chunks[0, 2], x[0, 6])
    torch.testing.assert_close(chunks[1, 0], x[1, :3].mean(0))
    torch.testing.assert_close(chunks[1, 1], x[1, 3])
    up = pooling.up(chunks, route, x)
    torch.testing.assert_close(up[0, 3:6], chunks[0, 1].expand(3, D))
    assert not up[1, 4:].any()
