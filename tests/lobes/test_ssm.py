"""The hybrid of Mamba-2 and attention: sizes, what frames hear, what a stream carries, and its parts against others."""

from functools import partial

import pytest
import torch
from torch import nn

from serenanet_modules.config.foreign import Document
from serenanet_modules.config.hparams import Hparams
from serenanet_modules.lobes.blocks.chunkwise import ALL
from serenanet_modules.lobes.blocks.rotary import RotaryAttention, RotaryPlan, rotary_angles
from serenanet_modules.lobes.blocks.scope import Scope
from serenanet_modules.lobes.encoders.rotary import RotaryTransformerLayer
from serenanet_modules.lobes.encoders.ssm import SSMEncoder
from serenanet_modules.training.brains.ctc import ctc_per_utterance
from serenanet_modules.training.label_loss import label_loss
from tests.support.counts import parameters
from tests.support.presets import preset

GIVEN = {key: ("the test", "none") for key in ("dataset", "locale", "data_folder")}
D, LOOK_AHEADS = 16, [ALL, 3, 1, 0]
made = partial(SSMEncoder, D, n_layers=4, d_ffn=32, attention_every=2, n_heads=2, headdim=8, d_state=4, dropout=0.0)


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(3)
    return made(look_aheads=LOOK_AHEADS, left_context=8).eval()


# --- sizes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "d", "layers", "attending", "headdim", "millions"),
    [
        ("5m", 160, 12, 3, 32, 4.94),
        ("19m", 256, 20, 4, 32, 19.32),
        ("50m", 384, 24, 4, 48, 50.79),
        ("150m", 640, 26, 5, 40, 149.27),
    ],
)
def test_sizes(size, d, layers, attending, headdim, millions):
    """As formulas of a layer of each kind, of the causal subsampling and of the head give them."""
    found, states, heads = parameters(preset(f"ssm/{size}"), n_units="1025"), 64, 2 * d // headdim
    mamba = 6 * d**2 + d * (2 * states + heads + 12) + 10 * states + 3 * heads
    rest = 8 * d**2 + 5 * d + 4 * d  # feed-forward and norms
    whole = (layers - attending) * mamba + attending * (4 * d**2 + 4 * d) + layers * rest
    assert found["encoder"] == whole + 2 * d  # the last norm
    assert found["frontend"] == 139_264 + 2561 * d + 256 * d  # a causal convolution makes one bin more
    assert found["model"] == found["encoder"] + found["frontend"] + 1025 * (d + 1)
    assert round((whole + 139_264 + 2561 * d) / 1e6, 2) == millions


# --- look-aheads ------------------------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("look_ahead", [3, 1, 0])
def test_streaming_equals_offline_for_each_look_ahead(encoder, look_ahead):
    x = torch.randn(2, 299, D)
    whole = encoder(x, torch.full((2,), 299), look_ahead=look_ahead).x
    for size in (1, 4, 7, 50, 299):
        state, found = encoder.init_state(2, look_ahead), []
        for piece in x.split(size, dim=1):
            y, state = encoder.step(piece, state)
            found.append(y)
        found.append(encoder.finish(x[:, :0], state))
        torch.testing.assert_close(torch.cat(found, dim=1), whole, rtol=1e-5, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("more", [0, 5])
def test_a_chunk_of_the_whole_length_is_the_offline_pass(encoder, more):
    """As a pass and as a stream; a chunk may be longer than the sound."""
    x, lengths, look_ahead = torch.randn(2, 40, D), torch.tensor([40, 40]), 39 + more
    long = made(look_aheads=[look_ahead], left_context=look_ahead + 1).eval()
    long.load_state_dict(encoder.state_dict())
    y, state = long.step(x, long.init_state(2))
    streamed = torch.cat([y, long.finish(x[:, :0], state)], dim=1)
    for found in (long(x, lengths).x, streamed):
        torch.testing.assert_close(found, encoder(x, lengths, look_ahead=ALL).x, rtol=0, atol=1e-6)


@torch.no_grad()
def test_what_a_stream_carries_does_not_grow(encoder):
    """Over 10,000 frames, whose last ones are as exact as the first."""
    x, state, sizes, found = torch.randn(1, 10_000, D), encoder.init_state(1, 1), [], []
    for piece in x.split(1000, dim=1):
        y, state = encoder.step(piece, state)
        found.append(y)
        sizes.append(sum(tensor.numel() for layer in state[-1] for tensor in layer) + state[2].numel())
    assert len(set(sizes)) == 1
    whole = encoder(x, torch.tensor([10_000]), look_ahead=1).x
    torch.testing.assert_close(torch.cat(found, dim=1), whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("look_ahead", LOOK_AHEADS)
def test_a_frame_hears_its_chunk_and_what_came_before(encoder, look_ahead):
    x = torch.randn(1, 24, D, requires_grad=True)
    (encoder(x, torch.tensor([24]), look_ahead=look_ahead).x[0, 13] @ torch.randn(D)).backward()
    heard = x.grad[0].abs().sum(1).nonzero().flatten().tolist()
    last = 23 if look_ahead == ALL else 13 // (look_ahead + 1) * (look_ahead + 1) + look_ahead
    assert heard == list(range(last + 1))


@torch.no_grad()
def test_training_draws_a_look_ahead_and_use_hears_all(encoder):
    x, lengths = torch.randn(1, 40, D), torch.tensor([40])
    each = [encoder(x, lengths, look_ahead=look_ahead).x for look_ahead in LOOK_AHEADS]
    assert torch.equal(encoder(x, lengths).x, each[0]) and encoder.look_ahead == 3
    learning = made(look_aheads=LOOK_AHEADS, left_context=8).train()
    learning.load_state_dict(encoder.state_dict())
    drawn = [learning(x, lengths).x for _ in range(40)]
    assert {next(i for i, y in enumerate(each) if torch.equal(y, one)) for one in drawn} == {0, 1, 2, 3}


# --- with other parts -------------------------------------------------------------------------------------------------


FRONTENDS = {"ssm": "striding", "fast_conformer": "striding", "sinusoidal": "stem"}  # of each encoder
STREAMS = [("encoder.look_aheads", "[all, 1]"), ("encoder.left_context", "4")]


@pytest.mark.parametrize("encoder", FRONTENDS)
def test_it_learns_under_an_attention_decoder_and_car(encoder):
    """A model of all three losses falls step by step, and nothing in it stands still."""
    hparams, strided = Hparams.load(preset("conmamba_s2s"), dataset=GIVEN), FRONTENDS[encoder] == "striding"
    small = {"d_model": "16", "n_mels": "20", "features.n_fft": "512", "n_units": "7", "dropout": "0.0"}
    parts = {"frontend": f"frontends/{FRONTENDS[encoder]}", "encoder": f"encoders/{encoder}", "car": "refinement/car"}
    hparams.override([(key, f"!include:{value}.yaml") for key, value in parts.items()])
    hparams.override([*small.items(), ("encoder.n_layers", "5"), ("encoder.n_heads", "2"), ("car.d_model", "8")])
    hparams.override([("frontend.filters", "6"), *STREAMS] if strided else [("output_stride", "2")])
    hparams.override([("attention_decoder.n_layers", "1"), ("attention_decoder.n_heads", "2")])
    torch.manual_seed(0)
    model = Document(hparams.text, encoder).only(["model"]).build()["model"].train()
    wavs, lengths = torch.randn(2, 24000), torch.tensor([24000, 17000])
    labels, counts = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0]]), torch.tensor([4, 2])
    optimizer, losses = torch.optim.AdamW(model.parameters(), lr=3e-3), []
    for _ in range(8):
        output = model(wavs, lengths, labels=labels)
        loss = ctc_per_utterance(output.decoder, output.lengths, labels, counts, 0).sum()
        loss = loss + ctc_per_utterance(output.car, output.lengths, labels, counts, 0).sum()
        loss = loss + label_loss(output.attention, labels, counts)[0].sum()
        optimizer.zero_grad()
        loss.backward()
        losses.append(loss.item())
        still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
        optimizer.step()
    assert losses[-1] < 0.9 * losses[0] and not still


# --- its parts against others -----------------------------------------------------------------------------------------


@torch.no_grad()
def test_attention_is_that_of_the_rotary_transformer():
    """With the same weights, on a ragged batch."""
    ours, theirs = RotaryAttention(D, 2), RotaryTransformerLayer(D, 2, 32, 0.0)
    ours.load_state_dict({k: v for k, v in theirs.state_dict().items() if k.split(".")[0] in ("qkv", "out")})
    x, valid = torch.randn(2, 300, D), torch.arange(300) < torch.tensor([[300], [211]])
    want = theirs._attend(x, valid[:, None, None], rotary_angles(300, D // 2, "cpu"))
    torch.testing.assert_close(ours(x, RotaryPlan.make(Scope(), x, 300, valid, D // 2)), want, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_mamba_layers_are_those_of_transformers():
    """Mamba-2 of a layer with the weights of transformers' mixer, whose slow path runs on a CPU."""
    transformers = pytest.importorskip("transformers")
    from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer

    sizes = {"num_heads": 4, "head_dim": 8, "state_size": 4, "n_groups": 1, "expand": 2, "chunk_size": 8}
    config = transformers.Mamba2Config(hidden_size=D, use_bias=False, vocab_size=8, num_hidden_layers=1, **sizes)
    torch.manual_seed(0)
    theirs, ours = Mamba2Mixer(config, layer_idx=0).eval(), made().layers[0].mixer.eval()
    for parameter in theirs.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.3)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 37, D)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)
