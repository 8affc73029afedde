"""What test_mates_and_padding.py does not reach through models: blocks by themselves, odd lengths, regularisers."""

import pytest
import torch

from serenanet_modules.lobes.blocks.mamba import Bidirectional, BiMamba, Mamba
from serenanet_modules.lobes.features import LogMel
from serenanet_modules.lobes.frontends.athm import ATHM
from serenanet_modules.lobes.heads.car import CAR

D = 16


@pytest.mark.parametrize("bidirectional", [False, True])
def test_regularisers_see_valid_frames_only(bidirectional):
    car = CAR(D, 7, d_model=8, bidirectional=bidirectional).eval()
    athm = ATHM(D, D, gate_size=8).eval()
    x = torch.randn(1, 9, D)
    for lobe in (car, athm):
        alone = lobe(x, torch.tensor([9])).extras.regularisers
        padded = torch.cat([x, torch.full((1, 30, D), float("nan"))], dim=1)
        torch.testing.assert_close(lobe(padded, torch.tensor([9])).extras.regularisers, alone)
        assert len(alone) == 1


@pytest.mark.parametrize("block", [BiMamba, lambda *a, **k: Bidirectional(lambda: Mamba(*a, **k))])
def test_blocks_that_read_both_ways(block, assert_padding_is_harmless):
    lobe = block(D, d_state=4)
    assert_padding_is_harmless(lambda x, lengths: [lobe(x, lengths)], lobe, D)


def test_mamba_is_causal():
    block, x = Mamba(D, d_state=4), torch.randn(1, 30, D)
    y = block(x)
    x[:, 17:] = 50.0
    torch.testing.assert_close(block(x)[:, :17], y[:, :17], rtol=1e-5, atol=1e-6)


def test_features(assert_padding_is_harmless):
    lobe = LogMel(n_mels=20, n_fft=512)

    def run(x, lengths):
        y, frames = lobe(x.squeeze(-1), lengths)
        return [y]

    assert_padding_is_harmless(run, lobe, 1, lengths=(1, 159, 160, 161, 3333))
