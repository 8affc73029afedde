"""Labels are nearest centroids of valid frames, whatever the batch and the encoder's frame rate."""

import pytest
import torch

from serenanet_modules.lobes.encoders.conformer import ConformerEncoder
from serenanet_modules.lobes.encoders.rotary import RotaryTransformerEncoder
from serenanet_modules.lobes.frontends.athm import ATHM
from serenanet_modules.lobes.heads.clusters import Clusters, EncoderLayer, Spectrum, middle
from serenanet_modules.lobes.spectral import SpectralModel
from tests.support.given import Given

F, D, K = 8, 16, 11


def acoustic(stride=4):
    return SpectralModel(Given(), ATHM(F, D, gate_size=8, output_stride=stride), RotaryTransformerEncoder(D, 2, 3, 32))


def clusters(name):
    torch.manual_seed(0)
    representation = Spectrum() if name == "spectrum" else EncoderLayer(acoustic(), 2)
    return Clusters(representation, torch.randn(K, 3 * F if name == "spectrum" else D))


@pytest.mark.parametrize("name", ["spectrum", "encoder layer"])
@pytest.mark.parametrize("stride", [1, 2, 4, 8])
def test_batch_and_padding(name, stride):
    """An utterance's labels are those it has alone; padding may be anything."""
    made = clusters(name)
    x = [torch.randn(n, F) for n in (37, 80, 3)]
    batch = torch.full((3, 91, F), float("nan"))
    for row, utterance in zip(batch, x, strict=True):
        row[: len(utterance)] = utterance
    labels = made(batch, torch.tensor([37, 80, 3]), stride)
    assert labels.shape == (3, -(-91 // stride)) and labels.dtype == torch.int64
    for row, utterance in zip(labels, x, strict=True):
        alone = made(utterance[None], torch.tensor([len(utterance)]), stride)[0]
        assert torch.equal(row[: len(alone)], alone)


def test_nearest_centroid():
    made, x = clusters("spectrum"), torch.randn(1, 40, F)
    y = Spectrum()(x, torch.tensor([40]))[0]
    expected = torch.cdist(y, made.centroids).argmin(1)
    assert torch.equal(made(x, torch.tensor([40]), 1)[0], expected)
    assert torch.equal(made(x, torch.tensor([40]), 4)[0], expected[2::4])


def test_short_last_groups():
    """The label of a group that the utterance does not fill is that of a frame inside the utterance."""
    assert middle(torch.tensor([9, 5, 1]), 4, 9).tolist() == [[2, 6, 8], [2, 4, 4], [0, 0, 0]]


def test_slower_and_faster_encoders():
    """Frames of 40 ms label those of 10 ms by repetition, and those of 80 ms by the one in the middle."""
    made, x, lengths = clusters("encoder layer"), torch.randn(1, 64, F), torch.tensor([64])
    own = made(x, lengths, 4)[0]
    assert torch.equal(made(x, lengths, 1)[0], own.repeat_interleave(4))
    assert torch.equal(made(x, lengths, 8)[0], own[1::2])


def test_encoder_layer():
    """The output of that layer, as the whole encoder computes it on the way, normalised per frame."""
    net = acoustic().eval()
    x, lengths = torch.randn(1, 40, F), torch.tensor([40])
    seen = []
    net.encoder.layers[1].register_forward_hook(lambda module, inputs, output: seen.append(output))
    net(x, lengths)
    found = EncoderLayer(net, 2).eval()(x, lengths)
    torch.testing.assert_close(found, torch.nn.functional.layer_norm(seen[0], (D,)))
    with pytest.raises(ValueError, match="no layer 4, only 1 to 2"):
        EncoderLayer(net, 4)
    with pytest.raises(ValueError, match="ConformerEncoder gives no access"):
        EncoderLayer(SpectralModel(Given(), net.frontend, ConformerEncoder(D, 2, 1, 32, 3)), 1)


def test_targets_are_fixed():
    """Training mode, gradients and autocast leave labels alone."""
    made, x, lengths = clusters("encoder layer").train(), torch.randn(2, 50, F), torch.tensor([50, 50])
    expected = made(x, lengths, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(made(x.requires_grad_(), lengths, 4), expected)
    assert not any(p.requires_grad for p in made.parameters())
