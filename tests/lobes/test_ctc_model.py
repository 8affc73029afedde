"""A model's outputs are distributions, its parts optional."""

import pytest
import torch

from serenanet_modules.lobes.ctc_model import CTCModel
from serenanet_modules.lobes.encoders.rotary import RotaryTransformerEncoder
from serenanet_modules.lobes.features import LogMel
from serenanet_modules.lobes.frontends.athm import ATHM
from serenanet_modules.lobes.frontends.strided import StridedConv
from serenanet_modules.lobes.heads.car import CAR
from serenanet_modules.lobes.spectral import SpectralModel

HOP = 160  # samples per frame of features


def model(car=True):
    refinement = CAR(8, 5, d_model=8) if car else None
    frontend, encoder = ATHM(16, 8, gate_size=8, output_stride=4), RotaryTransformerEncoder(8, 2, 1, 16)
    return CTCModel(SpectralModel(LogMel(16, 512), frontend, encoder), 5, refinement).eval()


def run(net):
    return net(torch.randn(2, 20 * HOP), torch.tensor([20 * HOP, 8 * HOP]))  # 21 and 9 frames of features


@pytest.mark.parametrize("scoring", ["decoder", "car", "average"])
def test_log_probs_are_distributions(scoring):
    output = run(model())
    log_probs = output.log_probs(scoring)
    assert log_probs.shape == (2, 6, 5) and log_probs.dtype == torch.float32
    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(2, 6))
    assert output.lengths.tolist() == [6, 3] and output.hidden.shape == (2, 6, 8)


def test_average_is_the_mean_of_probabilities():
    output = run(model())
    mean = (output.decoder.exp() + output.car.exp()) / 2
    torch.testing.assert_close(output.log_probs("average").exp(), mean)


def test_average_of_certain_distributions_is_finite():
    output = run(model())
    sure = torch.tensor([0.0, -1e4, -1e4, -1e4, -1e4]).expand_as(output.decoder)
    averaged = output._replace(decoder=sure, car=sure.roll(1, -1)).log_probs("average")
    torch.testing.assert_close(averaged[0, 0, :2].exp(), torch.tensor([0.5, 0.5]))


def test_without_car_only_the_decoder_scores():
    net = model(car=False)
    output = run(net)
    assert net.scorings == ("decoder",) and output.car is None
    assert output.log_probs("average") is output.decoder
    assert set(output.extras.regularisers) == {"gate_l2"}


def test_scorings_and_regularisers():
    net = model()
    assert net.scorings == ("decoder", "car", "average")
    assert set(run(net).extras.regularisers) == {"gate_l2", "car_l2"}


@pytest.mark.slow
def test_torch_compile_takes_the_whole_model():
    """The compiler follows the model through its parts, at any length, and gives the model's numbers."""
    net = model()
    compiled = torch.compile(net, backend="eager", dynamic=True)
    for total in (21, 30, 17):
        given = torch.randn(2, total * HOP), torch.tensor([total * HOP, 9 * HOP])
        with torch.inference_mode():
            torch.testing.assert_close(compiled(*given).log_probs("average"), net(*given).log_probs("average"))
    torch._dynamo.reset()


def test_a_front_end_without_a_regulariser():
    net = CTCModel(SpectralModel(LogMel(16, 512), StridedConv(16, 8), RotaryTransformerEncoder(8, 2, 1, 16)), 5)
    assert run(net).extras.regularisers == {}


def test_bf16_autocast_gives_float32_distributions():
    net = model()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = run(net)
    for scoring in net.scorings:
        log_probs = output.log_probs(scoring)
        assert log_probs.dtype == torch.float32
        torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(2, 6))


def test_everything_learns():
    net = model()
    output = run(net)
    (output.log_probs("average")[..., 0].mean() + sum(output.extras.regularisers.values())).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters())
