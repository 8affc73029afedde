"""Equal to transformers' models with the same weights, sizes as the formulas say, limited context in linear memory."""

import json
import os
import subprocess
import sys

import pytest
import torch

from serenanet_modules.lobes.blocks.chunkwise import ALL
from serenanet_modules.lobes.blocks.relative import Plan, RelativeAttention
from serenanet_modules.lobes.blocks.scope import Scope
from serenanet_modules.lobes.encoders.fast_conformer import FastConformerEncoder
from serenanet_modules.lobes.frontends.striding import PIECE, DepthwiseStriding
from serenanet_modules.runs.parakeet_names import our_names
from tests.support.counts import parameters
from tests.support.presets import preset
from tests.support.tiny import ROOT

transformers = pytest.importorskip("transformers")
LAYERS, D, HEADS, MELS, FILTERS = 3, 32, 4, 80, 8
LOOK_AHEADS = [13, 6, 1, 0, ALL]
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


def peer(kind, **options):
    """A model of transformers with random weights, biases and statistics too."""
    sizes = {"hidden_size": D, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "intermediate_size": 4 * D}
    config = getattr(transformers, f"{kind}Config")(
        **sizes, num_mel_bins=MELS, subsampling_conv_channels=FILTERS, conv_kernel_size=5, **options
    )
    model = getattr(transformers, kind)(config).eval()
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(0.3 * torch.randn_like(tensor) + ("norm" in name and not name.endswith("bias")))
            if name.endswith("running_var"):
                tensor.abs_()
    return model


def ours(model, causal=False, **options):
    """Our front end and encoder with a peer's weights."""
    frontend = DepthwiseStriding(MELS, D, FILTERS, causal=causal, dropout=0.0).eval()
    encoder = FastConformerEncoder(D, HEADS, LAYERS, 4 * D, kernel_size=5, **options).eval()
    tensors = our_names({f"encoder.{name}": tensor for name, tensor in model.state_dict().items()})
    for name, part in (("frontend", frontend), ("encoder", encoder)):
        prefix = f"acoustic.{name}."
        part.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    return frontend, encoder


def mask(lengths):
    return torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


@torch.no_grad()
def test_equals_parakeet():
    """On a ragged batch, whatever stands in our padding."""
    model = peer("ParakeetEncoder")
    frontend, encoder = ours(model, norm="batch")
    lengths = [403, 57, 256, 8, 1]
    x = torch.randn(len(lengths), max(lengths), MELS).masked_fill(~mask(lengths)[..., None], 0.0)
    want = model(x, attention_mask=mask(lengths).long())
    got = encoder(*frontend(x.masked_fill(~mask(lengths)[..., None], torch.nan), torch.tensor(lengths))[:2])
    assert got.lengths.tolist() == want.attention_mask.sum(1).tolist() == [-(-n // 8) for n in lengths]
    for row, n in enumerate(got.lengths):
        torch.testing.assert_close(got.x[row, :n], want.last_hidden_state[row, :n], **TOLERANCE)


@torch.no_grad()
@pytest.mark.parametrize("look_ahead", LOOK_AHEADS)
def test_equals_the_streaming_peer(look_ahead):
    """At 1 + 8k frames, where its lengths are ours too."""
    model = peer("NemotronAsrStreamingEncoder")
    frontend, encoder = ours(model, causal=True, look_aheads=LOOK_AHEADS)
    lengths = [1 + 8 * 99, 1 + 8 * 30, 1]
    x = torch.randn(len(lengths), max(lengths), MELS).masked_fill(~mask(lengths)[..., None], 0.0)
    tokens = max(lengths) // 8 if look_ahead == ALL else look_ahead
    want = model(x, attention_mask=mask(lengths).long(), num_lookahead_tokens=tokens).last_hidden_state
    got = encoder(*frontend(x, torch.tensor(lengths))[:2], look_ahead=look_ahead)
    for row, n in enumerate(got.lengths):
        torch.testing.assert_close(got.x[row, :n], want[row, :n], **TOLERANCE)


# --- sizes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "d", "layers", "millions"),
    [("5m", 128, 12, 5.25), ("19m", 224, 15, 18.91), ("50m", 384, 14, 50.89), ("115m", 512, 18, 115.07)],
)
def test_sizes(size, d, layers, millions):
    """As the formulas of a layer, of the subsampling and of the head give them."""
    found = parameters(preset(f"fast_conformer/{size}"), n_units="1025")
    assert found["encoder"] == layers * (24 * d**2 + 41 * d)
    assert found["frontend"] == 139_264 + 2561 * d
    assert found["model"] == found["encoder"] + found["frontend"] + 1025 * (d + 1)
    assert round((found["encoder"] + found["frontend"]) / 1e6, 2) == millions


def test_the_streaming_front_end_has_one_more_bin():
    found = parameters(preset("fast_conformer_streaming"), n_units="257")
    assert found["frontend"] == 139_264 + (11 * 256 + 1) * 224


# --- attention --------------------------------------------------------------------------------------------------------


def plain(attention, x, seen):
    """Attention of x (1, T, d) as the paper writes it, query by query; ``seen`` is a function of two positions."""
    total, size = x.shape[1], attention.head_size
    q, k, v = attention.qkv(x)[0].unflatten(1, (3, HEADS, size)).unbind(1)  # (T, H, size)
    rates = 10000 ** (-torch.arange(0, D, 2) / D)
    rows = []
    for i in range(total):
        keys = [j for j in range(total) if seen(i, j)]
        angle = torch.tensor([i - j for j in keys])[:, None] * rates
        r = attention.position(torch.stack([angle.sin(), angle.cos()], -1).flatten(1)).unflatten(1, (HEADS, size))
        scores = (k[keys] * (q[i] + attention.content_bias)).sum(-1) + (r * (q[i] + attention.position_bias)).sum(-1)
        weights = (scores / size**0.5).softmax(0)  # (K, H)
        rows.append((weights[..., None] * v[keys]).sum(0).flatten())
    return attention.out(torch.stack(rows))[None]


@pytest.mark.parametrize(
    ("scope", "seen"),
    [
        (Scope(), lambda i, j: True),
        (Scope(5, 5), lambda i, j: abs(i - j) <= 5),
        (Scope(7, 2, leading=2), lambda i, j: -7 <= j - i <= 2 or min(i, j) < 2),
        (Scope(6, 0, chunk=3), lambda i, j: 0 <= i // 3 - j // 3 <= 2),
        (Scope(4, 0, chunk=1), lambda i, j: 0 <= i - j <= 4),
    ],
)
@pytest.mark.parametrize("total", [1, 23, 150])
def test_attention_is_as_the_paper_writes_it(scope, seen, total):
    """Over several blocks of queries too; gradients as well."""
    attention, x = RelativeAttention(D, HEADS), torch.randn(1, total, D, requires_grad=True)
    for bias in (attention.content_bias, attention.position_bias):
        torch.nn.init.normal_(bias)
    inputs = [x, *attention.parameters()]
    found = []
    for y in (attention(x, Plan.make(scope, x, total)), plain(attention, x, seen)):
        found.append([y, *torch.autograd.grad(y.square().mean(), inputs)])
    for got, want in zip(*found, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_window_over_all_is_full_attention():
    x, lengths = torch.randn(2, 200, D), torch.tensor([200, 71])
    full = FastConformerEncoder(D, HEADS, 2, 4 * D).eval()
    for options in ({"window": 200}, {"window": 500, "global_tokens": 3}):
        encoder = FastConformerEncoder(D, HEADS, 2, 4 * D, **options).eval()
        encoder.load_state_dict(full.state_dict())
        torch.testing.assert_close(encoder(x, lengths).x, full(x, lengths).x, **TOLERANCE)


MEASURED = """
import json, sys, torch
sys.path.insert(0, "benchmarks")
from measure import report_peak
from serenanet_modules.lobes.encoders import FastConformerEncoder
torch.set_num_threads(1)
encoder = FastConformerEncoder(32, 4, 2, 128, window=64, global_tokens=1).eval()
def prepare(total):
    x, lengths = torch.randn(1, total, 32), torch.tensor([total])
    encoder(x[:, :200], torch.tensor([200]))
    return lambda: torch.no_grad()(encoder)(x, lengths)
report_peak({str(t): lambda t=t: prepare(t) for t in (8000, 32000)}, {"seconds": 60, "bytes": 2**32})
"""


def test_memory_of_a_window_is_linear():
    """At four times the length at most five times the memory; full attention would take sixteen times as much."""
    calm = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}  # freed memory goes back
    command = [sys.executable, "-c", MEASURED]
    child = subprocess.run(command, cwd=ROOT, env=os.environ | calm, capture_output=True, text=True, check=True)
    found = {key: value["bytes"] for line in child.stdout.splitlines() for key, value in json.loads(line).items()}
    assert 0 < found["32000"] <= 5 * found["8000"], found


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"window": 3, "look_aheads": [0]}, "two ways to limit"),
        ({"global_tokens": 1}, "need a window"),
        ({"window": -1}, "0 at least"),
        ({"look_aheads": [0, 3]}, "70 is no multiple of 4 frames, the chunk of look-ahead 3"),
        *(({"window": wrong}, "0 at least") for wrong in (1.5, True, "cut")),
        ({"look_aheads": 13}, "a list of numbers of frames, not 13"),
        ({"look_aheads": [True, 0]}, "numbers of frames, 0 at least, or all, not True"),
        ({"look_aheads": [0, 0]}, "has 0 twice"),
        ({"look_aheads": ["all", "all"]}, "has all twice"),
        ({"kernel_size": 4}, "kernel_size is 4; it must be odd"),
        ({"look_aheads": ["some"]}, "numbers of frames, 0 at least, or all, not 'some'"),
        ({"norm": "group"}, "must be one of layer, batch"),
        ({"d_model": 30}, "must be even and a multiple of n_heads"),
    ],
)
def test_options_that_cannot_be(options, words):
    with pytest.raises(ValueError, match=words):
        FastConformerEncoder(**{"d_model": D, "n_heads": HEADS, "n_layers": 1, "d_ffn": 8} | options)


# --- look-aheads ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", name="encoder")
def _encoder():
    """One model for all look-aheads."""
    torch.manual_seed(5)
    return FastConformerEncoder(D, HEADS, 2, 4 * D, 5, look_aheads=LOOK_AHEADS, left_context=14).eval()


@torch.no_grad()
@pytest.mark.parametrize("look_ahead", LOOK_AHEADS[:-1])
def test_streaming_equals_offline_for_each_look_ahead(encoder, look_ahead):
    """In pieces of any size; what is carried has a bound."""
    x = torch.randn(2, 299, D)
    whole = encoder(x, torch.full((2,), 299), look_ahead=look_ahead).x
    for size in (1, 4, 7, 50, 299):
        state, found = encoder.init_state(2, look_ahead), []
        for piece in x.split(size, dim=1):
            y, state = encoder.step(piece, state)
            found.append(y)
        *_, waiting, carried = state
        assert max(keys.shape[2] for keys, *_ in carried) == 14 and waiting.shape[1] <= look_ahead
        found.append(encoder.finish(x[:, :0], state))
        torch.testing.assert_close(torch.cat(found, dim=1), whole, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_a_look_ahead_to_the_end_is_no_stream(encoder):
    """Its pass is that of a chunk as long as the utterance."""
    x, lengths = torch.randn(2, 140, D), torch.full((2,), 140)
    whole = encoder(x, lengths, look_ahead=ALL).x
    torch.testing.assert_close(whole, encoder(x, lengths, look_ahead=139).x, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(whole, encoder(x, lengths, look_ahead=13).x, atol=1e-2)
    with pytest.raises(ValueError, match="look_ahead is all frames, but the encoder has 13, 6, 1, 0"):
        encoder.init_state(2, ALL)


@torch.no_grad()
def test_training_draws_a_look_ahead():
    encoder = FastConformerEncoder(D, HEADS, 1, 4 * D, 5, dropout=0.0, look_aheads=[3, 1, 0], left_context=8)
    x, lengths = torch.randn(1, 40, D), torch.tensor([40])
    each = [encoder(x, lengths, look_ahead=look_ahead).x for look_ahead in encoder.look_aheads]
    drawn = [encoder(x, lengths).x for _ in range(40)]
    assert {next(i for i, y in enumerate(each) if torch.equal(y, one)) for one in drawn} == {0, 1, 2}
    with pytest.raises(ValueError, match="look_ahead is 2 frames, but the encoder has 3, 1, 0"):
        encoder.init_state(1, 2)


# --- subsampling ------------------------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("causal", [False, True])
def test_pieces_with_a_halo_equal_the_whole(causal, monkeypatch):
    frontend = DepthwiseStriding(20, D, FILTERS, causal=causal).eval()
    for total in (PIECE - 1, PIECE, 2 * PIECE - 1, 2 * PIECE, 3 * PIECE + 5):
        x, lengths = torch.randn(2, total, 20), torch.tensor([total, total - PIECE // 2 + 3])
        in_pieces = frontend(x, lengths).x
        with monkeypatch.context() as patch:
            patch.setattr("serenanet_modules.lobes.frontends.striding.PIECE", 4 * PIECE)
            torch.testing.assert_close(in_pieces, frontend(x, lengths).x, **TOLERANCE)


@torch.no_grad()
def test_a_causal_frame_hears_nothing_after_its_first():
    frontend = DepthwiseStriding(20, D, FILTERS, causal=True).eval()
    x = torch.randn(1, 400, 20)
    y = frontend(x, torch.tensor([400])).x
    for frame in (0, 5, 33):
        changed = x.clone()
        changed[:, 8 * frame + 1 :] = 50.0
        torch.testing.assert_close(frontend(changed, torch.tensor([400])).x[:, : frame + 1], y[:, : frame + 1])
        changed[:, 8 * frame] = 50.0
        assert not torch.allclose(frontend(changed, torch.tensor([400])).x[:, frame], y[:, frame])
