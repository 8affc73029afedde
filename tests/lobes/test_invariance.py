"""Padding, batch mates and padding content change nothing, for every lobe and for whole models."""

from functools import partial

import pytest
import torch

from serenanet_modules.lobes.athm import ATHM
from serenanet_modules.lobes.car import CAR
from serenanet_modules.lobes.chunking import DynamicChunking, FixedPooling
from serenanet_modules.lobes.conformer import ConformerEncoder, ConvFrontend
from serenanet_modules.lobes.conmamba import ConMambaEncoder
from serenanet_modules.lobes.ctc_model import CTCModel
from serenanet_modules.lobes.features import LogMel
from serenanet_modules.lobes.hmamba import ChunkedEncoder
from serenanet_modules.lobes.lengths import valid_mask
from serenanet_modules.lobes.mamba import Bidirectional, BiMamba, Mamba
from serenanet_modules.lobes.mamba2 import Mamba2
from serenanet_modules.lobes.rotary import RotaryTransformerEncoder
from serenanet_modules.lobes.strided import StridedConv

D = 16


def chunked(chunking, **options):
    """A small encoder around a chunking; its own route differs from the identity that it starts from."""
    outer, inner = (ConMambaEncoder(D, n_layers=1, d_ffn=32, kernel_size=3, d_state=4) for _ in range(2))
    for parameter in chunking.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return ChunkedEncoder(outer, chunking, inner, **options)


ENCODERS = {
    "athm": lambda: ATHM(D, D, gate_size=8),
    "athm_stride_2": lambda: ATHM(D, D, gate_size=8, output_stride=2),
    "athm_stride_4": lambda: ATHM(D, D, gate_size=8, output_stride=4),
    "athm_40ms": lambda: ATHM(D, D, resolutions=[4]),
    "strided_conv": lambda: StridedConv(D, D, output_stride=4),
    "conv_frontend": lambda: ConvFrontend(D, D, channels=(4, 3)),
    "rotary": lambda: RotaryTransformerEncoder(D, n_heads=2, n_layers=2, d_ffn=32),
    "conmamba": lambda: ConMambaEncoder(D, n_layers=2, d_ffn=32, kernel_size=5, d_state=4),
    "conmamba_2": lambda: ConMambaEncoder(D, n_layers=2, d_ffn=32, kernel_size=5, mixer="mamba2", headdim=8),
    "conmamba_causal": lambda: ConMambaEncoder(D, n_layers=2, d_ffn=32, kernel_size=5, causal=True),
    "conmamba_ahead": lambda: ConMambaEncoder(D, 2, 32, kernel_size=5, causal=True, right_context=2),
    "hmamba": lambda: chunked(DynamicChunking(D)),
    "hmamba_gap": lambda: chunked(DynamicChunking(D, max_gap=2)),
    "pooling": lambda: chunked(FixedPooling(D, stride=3)),
    "conformer": lambda: ConformerEncoder(D, n_heads=2, n_layers=2, d_ffn=32, kernel_size=5),
}
STRIDES = {"athm_stride_2": 2, "athm_stride_4": 4, "strided_conv": 4, "conv_frontend": 4}


@pytest.mark.parametrize("name", ENCODERS)
def test_encoders(name, assert_padding_is_harmless):
    lobe = ENCODERS[name]().eval()
    assert_padding_is_harmless(lambda x, lengths: [lobe(x, lengths)[0]], lobe, D)


@pytest.mark.parametrize("name", ENCODERS)
def test_padding_is_zero_on_output(name):
    lobe = ENCODERS[name]().eval()
    lengths = torch.tensor([21, 9, 1])
    y, new = lobe(torch.randn(3, 21, D), lengths)
    assert new.tolist() == [-(-n // STRIDES.get(name, 1)) for n in lengths.tolist()] and new.dtype == torch.int64
    assert y.shape[1] == int(new.max())
    valid = valid_mask(new, y.shape[1])
    assert y[~valid].abs().max() == 0
    assert (y[valid].abs().sum(-1) > 0).all()


@pytest.mark.parametrize("block", [Mamba, partial(Mamba2, headdim=4)], ids=["mamba", "mamba2"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_car(bidirectional, block, assert_padding_is_harmless):
    lobe = CAR(D, 7, d_model=8, block=block, n_layers=2, bidirectional=bidirectional).eval()
    assert_padding_is_harmless(lambda x, lengths: [lobe(x, lengths)], lobe, D)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_regularisers_see_valid_frames_only(bidirectional):
    car = CAR(D, 7, d_model=8, bidirectional=bidirectional).eval()
    athm = ATHM(D, D, gate_size=8).eval()
    x = torch.randn(1, 9, D)
    for lobe in (car, athm):
        lobe(x, torch.tensor([9]))
        alone = lobe.regulariser.clone()
        padded = torch.cat([x, torch.full((1, 30, D), float("nan"))], dim=1)
        lobe(padded, torch.tensor([9]))
        torch.testing.assert_close(lobe.regulariser, alone)


def test_chunks(assert_padding_is_harmless):
    """Also where the encoder gives chunks, and where it must find a number of them."""
    lobe = chunked(DynamicChunking(D), read="chunks").eval()

    def run(x, lengths):
        y, counts = lobe(x, lengths, least=(lengths + 1) // 2)
        assert (counts >= (lengths + 1) // 2).all() and (counts <= lengths).all()
        return [y]

    assert_padding_is_harmless(run, lobe, D)


def test_bimamba(assert_padding_is_harmless):
    lobe = BiMamba(D, d_state=4)
    assert_padding_is_harmless(lambda x, lengths: [lobe(x, lengths)], lobe, D)


def test_bidirectional_mamba(assert_padding_is_harmless):
    lobe = Bidirectional(lambda: Mamba(D, d_state=4))
    assert_padding_is_harmless(lambda x, lengths: [lobe(x, lengths)], lobe, D)


def test_mamba_is_causal():
    block, x = Mamba(D, d_state=4), torch.randn(1, 30, D)
    y = block(x)
    x[:, 17:] = 50.0
    torch.testing.assert_close(block(x)[:, :17], y[:, :17], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("parts", ["serenanet", "serenanet_two_way", "conformer", "mixed"])
def test_models(parts, assert_padding_is_harmless):
    frontend = ENCODERS["conv_frontend" if parts == "conformer" else "athm_stride_4"]()
    encoder = ENCODERS["conformer" if parts in ("conformer", "mixed") else "rotary"]()
    car = None if parts == "conformer" else CAR(D, 7, d_model=8, bidirectional=parts == "serenanet_two_way")
    model = CTCModel(frontend, encoder, D, 7, car).eval()

    def run(x, lengths):
        out = model(x, lengths)
        valid = valid_mask(out.lengths, out.decoder.shape[1]).unsqueeze(-1)
        return [out.log_probs(s).where(valid, 0.0) for s in model.scorings] + [out.hidden]

    assert_padding_is_harmless(run, model, D)


def test_features(assert_padding_is_harmless):
    lobe = LogMel(n_mels=20, n_fft=512)

    def run(x, lengths):
        y, frames = lobe(x.squeeze(-1), lengths)
        return [y]

    assert_padding_is_harmless(run, lobe, 1, lengths=(1, 159, 160, 161, 3333))
