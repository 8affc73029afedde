"""ConMamba: its mixers, its direction, and frame by frame what it gives as a whole."""

import pytest
import torch

from serenanet_modules.lobes.blocks.mamba import BiMamba, Mamba
from serenanet_modules.lobes.encoders.conmamba import ConMambaEncoder

SMALL = {"d_model": 16, "n_layers": 2, "d_ffn": 24, "kernel_size": 5, "d_state": 4}
MIXERS = ("mamba", "mamba2")


def encoder(mixer="mamba", **options):
    return ConMambaEncoder(**{**SMALL, "mixer": mixer, **options}).eval()


@pytest.mark.parametrize("mixer", MIXERS)
@pytest.mark.parametrize("kernel_size", [5, None])
@pytest.mark.parametrize("cut", [(1,) * 11, (4, 1, 6), (11,)])
def test_steps_equal_forward(mixer, kernel_size, cut):
    """Any cut into pieces, for several utterances at once."""
    lobe, x = encoder(mixer, causal=True, kernel_size=kernel_size), torch.randn(3, 11, 16)
    whole, *_ = lobe(x, torch.full((3,), 11))
    state, pieces = lobe.init_state(3), []
    for piece in x.split(list(cut), dim=1):
        y, state = lobe.step(piece, state)
        pieces.append(y)
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mixer", MIXERS)
def test_causal_sees_no_future_and_two_way_does(mixer):
    x = torch.randn(1, 30, 16)
    changed = x.clone()
    changed[:, 17:] = 5.0
    lengths = torch.tensor([30])
    for causal in (True, False):
        lobe = encoder(mixer, causal=causal)
        same = torch.isclose(lobe(x, lengths)[0], lobe(changed, lengths)[0], atol=1e-6).all(-1)[0, :17]
        assert bool(same.all()) == causal and bool(same.any()) == causal


def test_right_context_is_all_that_a_causal_encoder_sees_of_the_future():
    """Two layers of two frames each: four frames before a change hear it, no other does."""
    lobe, x = encoder(causal=True, right_context=2), torch.randn(1, 30, 16)
    changed = x.clone()
    changed[:, 17:] = 5.0
    y, other = (lobe(x, torch.tensor([30]))[0] for x in (x, changed))
    same = torch.isclose(y, other, atol=1e-6).all(-1)[0]
    assert same[:13].all() and not same[13:].any() and lobe.look_ahead == 4


def test_an_encoder_that_reads_backwards_refuses_to_stream():
    with pytest.raises(TypeError, match="causal"):
        encoder().init_state(1)


def test_without_convolutions():
    """The convolutions' weights are gone, the others stay; there is nothing that could look ahead."""
    whole, bare = encoder().state_dict(), encoder(kernel_size=None).state_dict()
    assert bare.keys() == {name for name in whole if ".convolution." not in name} < whole.keys()
    with pytest.raises(ValueError, match="must be below kernel_size None"):
        encoder(kernel_size=None, causal=True, right_context=1)


def test_unknown_mixer():
    with pytest.raises(ValueError, match="mamba, mamba2"):
        ConMambaEncoder(16, 1, 32, mixer="lstm")


def test_bimamba_is_the_mean_of_both_directions_before_the_projection():
    """Against two Mamba blocks that hold the same weights, one of them reading the mirrored utterance."""
    both = BiMamba(16, d_state=4)
    forwards, backwards = (Mamba(16, d_state=4) for _ in range(2))
    weights = both.state_dict()
    forwards.load_state_dict({k: v for k, v in weights.items() if not k.startswith("backwards.")})
    backwards.load_state_dict({k: weights.get(f"backwards.{k}", weights[k]) for k in forwards.state_dict()})
    x = torch.randn(1, 13, 16)
    expected = 0.5 * (forwards(x) + backwards(x.flip(1)).flip(1))  # out_proj is linear and has no bias
    torch.testing.assert_close(both(x, torch.tensor([13])), expected, rtol=1e-5, atol=1e-6)
    single = Mamba(16, d_state=4)
    extra = sum(p.numel() for n, p in single.named_parameters() if not n.startswith(("in_proj", "out_proj")))
    assert sum(p.numel() for p in both.parameters()) == sum(p.numel() for p in single.parameters()) + extra


def test_heads_of_any_width():
    """Mamba-2's heads divide the inner size, whatever that is."""
    assert encoder("mamba2", d_model=36).layers[0].mixer.forwards.headdim == 8
    assert encoder("mamba2", d_model=36, headdim=24).layers[0].mixer.forwards.headdim == 24
