"""SpeechBrain's parts keep what they compute where no padding is about."""

import pytest
import torch
from torch.nn import functional

from serenanet_modules.lobes.encoders.conformer import ConformerEncoder
from serenanet_modules.lobes.frontends.conv2d import ConvFrontend


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 16, 17, 101])
@pytest.mark.parametrize("mels", [20, 21, 23, 80])
def test_frontend_shapes(frames, mels):
    y, lengths, *_ = ConvFrontend(mels, 8, channels=(4, 3))(torch.randn(2, frames, mels), torch.tensor([frames, 1]))
    assert y.shape == (2, -(-frames // 4), 8) and lengths.tolist() == [-(-frames // 4), 1]


def test_frontend_is_speechbrains_away_from_the_end():
    frontend = ConvFrontend(20, 8, channels=(4, 3)).eval()
    x = torch.randn(1, 64, 20)
    want = frontend.project(frontend.convolutions(x).flatten(2))
    torch.testing.assert_close(frontend(x, torch.tensor([64]))[0][:, :-1], want[:, :-1])
    silent_end = functional.pad(x[:, :48], (0, 0, 0, 16))
    want = frontend.project(frontend.convolutions(silent_end).flatten(2))[:, :11]
    torch.testing.assert_close(frontend(x[:, :48], torch.tensor([48]))[0][:, :11], want)


def test_encoder_is_speechbrains_without_padding():
    encoder = ConformerEncoder(16, n_heads=2, n_layers=2, d_ffn=32, kernel_size=5).eval()
    x, lengths = torch.randn(2, 11, 16), torch.tensor([11, 11])
    got = encoder(x, lengths)[0]
    for layer in encoder.transformer.encoder.layers:
        layer.convolution_module = layer.convolution_module.module
    torch.testing.assert_close(got, encoder.transformer.encode(x, torch.ones(2)))


def test_all_parameters_learn():
    encoder = ConformerEncoder(16, n_heads=2, n_layers=1, d_ffn=32, kernel_size=5)
    encoder(torch.randn(2, 9, 16), torch.tensor([9, 5]))[0].square().sum().backward()
    idle = {name for name, p in encoder.named_parameters() if p.grad is None or p.grad.abs().max() == 0}
    assert idle == set()
