"""An utterance's output and gradient are its own: batch mates, padding, what stands there and its place change nothing.

Parts and models are found by themselves in hparams/ (support/parts.py); for operations see ops/test_every_op.py.
"""

import importlib
import math
import pkgutil
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from serenanet_modules import lobes
from serenanet_modules.decoding.attention import AttentionBeam
from serenanet_modules.decoding.beam import BeamDecoder
from serenanet_modules.decoding.greedy import greedy
from serenanet_modules.decoding.label_search import attention_greedy
from serenanet_modules.lobes.ctc_model import CTCModel
from serenanet_modules.lobes.hybrid_model import HybridModel
from tests.support.calls import CALLS
from tests.support.fake_units import FakeUnits
from tests.support.parts import SIZES, everything

NAN, INF = math.nan, math.inf
UNITS = FakeUnits(["<blank>", "▁a", "b", "▁", "▁c", "d", "e"], "▁")
ELSEWHERE = {
    "AbsoluteLogMel",
    "Clusters",
    "EncoderLayer",
    "Spectrum",
    "SpeakerEncoder",
}  # test_features.py, test_clusters.py
ELSEWHERE |= {"GraniteLogMel", "GraniteNetwork"}  # test_granite.py


class Bound(NamedTuple):
    """Largest error over a tensor's largest value; that of a gradient may be twice as large, and counts as at least a
    share of the largest one's, for gradients are sums over all frames and small differences of large numbers."""

    error: float
    share: float


BOUNDS = {torch.float32: Bound(1e-5, 0.05), torch.bfloat16: Bound(5e-2, 0.1)}


class Layout(NamedTuple):
    """Lengths of the mates before and after an utterance over its own, frames behind the longest, what they hold."""

    before: tuple
    after: tuple
    extra: int
    content: float


ALONE = Layout((), (), 0, 0.0)
LAYOUTS = [
    Layout((), (), 7, 0.0),
    Layout((), (1.7,), 40, -1e30),
    Layout((0.4, 1.9), (), 3, NAN),
    Layout((1.3,), (2.1, 0.2), 0, INF),
]


class Batch(NamedTuple):
    """Utterances side by side: x (B, T, F), labels (B, U), their lengths (B,), and a name for each."""

    x: Tensor
    lengths: Tensor
    labels: Tensor
    label_lengths: Tensor
    ids: list


def utterance(length, size, seed):
    """x (length, size), and labels of which there are no more than frames of 40 ms."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(length, size, generator=generator)
    count = max(1, length // 1600 if size == 1 else length // 4)
    return x, torch.randint(1, SIZES["n_units"], (count,), generator=generator)


def lay(x, labels, layout):
    """A `Batch` and the row of the utterance in it."""
    size, place = x.shape[1], len(layout.before)
    rows = [utterance(max(1, round(s * len(x))), size, i) for i, s in enumerate(layout.before + layout.after)]
    rows.insert(place, (x, labels))
    lengths, label_lengths = (torch.tensor([len(row[i]) for row in rows]) for i in (0, 1))
    padded = torch.full((len(rows), int(lengths.max()) + layout.extra, size), layout.content)
    spelled = torch.full((len(rows), int(label_lengths.max()) + layout.extra % 4), 3)
    for i, (samples, units) in enumerate(rows):
        padded[i, : len(samples)], spelled[i, : len(units)] = samples, units
    ids = ["it" if i == place else f"mate {i}" for i in range(len(rows))]
    return Batch(padded.requires_grad_(), lengths, spelled, label_lengths, ids), place


def measure(call, part, x, labels, layout, precision):
    """An utterance's outputs, and gradients of a projection of them by its input and by the parameters, by name."""
    batch, row = lay(x, labels, layout)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        outputs = call(part, batch)
    own = {name: y[row] if n is None else y[row, : n[row]] for name, (y, n) in outputs.items()}
    loss = 0.0
    for i, y in enumerate(own.values()):
        loss = loss + (y.float() * torch.randn(y.shape, generator=torch.Generator().manual_seed(i))).mean()
    parameters = dict(part.named_parameters())
    grads = torch.autograd.grad(loss, [batch.x, *parameters.values()], allow_unused=True, materialize_grads=True)
    elsewhere = grads[0].clone()
    elsewhere[row, : len(x)] = 0.0
    assert not elsewhere.any(), "mates or padding have a gradient"
    found = {name: y.detach().float() for name, y in own.items()}
    found["gradient of the input"] = grads[0][row, : len(x)]
    return found | {f"gradient of {name}": g for name, g in zip(parameters, grads[1:], strict=True)}


def largest_error(got, want, share):
    """The largest error as `Bound` counts it, and the name of its tensor."""
    assert got.keys() == want.keys()
    least = share * max(float(g.abs().max()) for name, g in want.items() if name.startswith("gradient"))
    worst = (0.0, "")
    for name, expected in want.items():
        assert got[name].shape == expected.shape, f"{name}: {tuple(got[name].shape)}, not {tuple(expected.shape)}"
        scale = max(float(expected.abs().max()), 1e-30)
        if name.startswith("gradient"):
            scale = 2 * max(scale, least)
        error = float((got[name] - expected).abs().max()) / scale
        worst = max(worst, (INF if math.isnan(error) else error, name))
    return worst


def compare(call, size, lengths, part, precision):
    """The worst `largest_error` over utterances and layouts, and where it was."""
    worst = (0.0, "")
    for seed, length in enumerate(lengths):
        x, labels = utterance(length, size, 100 + seed)
        alone = measure(call, part, x, labels, ALONE, precision)
        for layout in LAYOUTS:
            found = measure(call, part, x, labels, layout, precision)
            worst = max(worst, (*largest_error(found, alone, BOUNDS[precision].share), length, layout))
    return worst


@pytest.mark.parametrize("precision", BOUNDS, ids=lambda p: str(p).removeprefix("torch."))
@pytest.mark.parametrize("thing", everything(), ids=str)
def test_parts_and_models(thing, precision):
    """``pytest -rP`` shows each one's largest error."""
    assert thing.kind in CALLS, f"tests/support/calls.py does not say how to call what is in hparams/{thing.kind}"
    worst = compare(*CALLS[thing.kind], thing.build(), precision)
    print("largest error", *worst)
    assert worst[0] <= BOUNDS[precision].error, worst


@pytest.mark.parametrize("thing", everything(), ids=str)
@torch.no_grad()
def test_mates_that_are_no_numbers(thing):
    """An utterance of nothing but NaN spoils its own output alone."""
    run, size, lengths = CALLS[thing.kind]
    part, (x, labels) = thing.build(), utterance(lengths[-1], size, 0)
    found = []
    for content in (0.0, NAN):
        batch, row = lay(x, labels, Layout((0.6,), (1.4,), 0, 0.0))
        batch.x[[0, 2]] = content
        found.append({k: y[row] if n is None else y[row, : n[row]] for k, (y, n) in run(part, batch).items()})
    for name, expected in found[0].items():
        torch.testing.assert_close(found[1][name], expected, rtol=1e-5, atol=1e-5, msg=f"{name}: {{}}".format)


@pytest.mark.parametrize("thing", [thing for thing in everything() if thing.kind == "models"], ids=str)
@torch.no_grad()
def test_what_is_decoded(thing):
    """Every search finds in a batch what it finds of the utterance alone."""
    model = thing.build()
    if not isinstance(model, CTCModel) or not model.scorings:
        return
    if model.decoder is not None:
        model.decoder.weight.mul_(10)  # for opinions
        model.decoder.bias[0] -= 10.0  # that are not all blank
    if isinstance(model, HybridModel) and model.attention.stack.output is None:  # nor the border again
        stack = model.attention.stack
        stack.norm.bias.copy_(3 * stack.embedding.weight[1:].sum(0))
    for seed, length in enumerate((4000, 9000)):
        found = [_decoded(model, *utterance(length, 1, seed), layout) for layout in (ALONE, *LAYOUTS[1:])]
        assert all(texts == found[0] for texts in found) and all(found[0])


def _decoded(model, x, labels, layout):
    batch, row = lay(x, labels, layout)
    output = model(batch.x.squeeze(-1), batch.lengths)
    log_probs, lengths, texts = output.decoder, output.lengths, []
    if log_probs is not None:
        texts += [greedy(log_probs, lengths)[row], BeamDecoder(UNITS, beam_size=8).decode(output, lengths)[row].labels]
    if isinstance(model, HybridModel):
        texts.append(attention_greedy(model.attention, output.hidden, lengths)[row])
        weight = {} if model.scorings else {"ctc_weight": 0.0}
        texts.append(AttentionBeam(model.attention, UNITS, 3, **weight).decode(output, lengths)[row].labels)
    return texts


def test_every_lobe_is_in_a_model():
    """What no file in hparams/ uses would not be tested here."""
    used = set()
    for thing in everything():
        used |= {base.__name__ for module in thing.build().modules() for base in type(module).__mro__}
    made = set()
    for found in pkgutil.walk_packages(lobes.__path__, "serenanet_modules.lobes."):
        classes = [v for v in vars(importlib.import_module(found.name)).values() if isinstance(v, type)]
        made |= {c.__name__ for c in classes if issubclass(c, nn.Module) and c.__module__ == found.name}
    assert made - used == ELSEWHERE, "give it a file in hparams/, or a test of its own and a name in ELSEWHERE"


@pytest.mark.parametrize(
    "leak",
    [
        lambda y: y + 1e-4 * y.mean((0, 1)),
        lambda y: y * (1 + 1e-4 * len(y)),
        lambda y: y + 1e-4 * torch.arange(len(y)).view(-1, 1, 1),
        lambda y: y + 1e-4 * y.shape[1],
    ],
    ids=["mates", "number of mates", "place", "amount of padding"],
)
def test_a_leak_is_noticed(leak):
    def passes(change):
        def call(part, batch):
            return {"output": (change(part(batch.x.nan_to_num(0, 0, 0).clamp(-9, 9))), batch.lengths)}

        try:
            worst, *_ = compare(call, 4, (6,), nn.Linear(4, 4), torch.float32)
        except AssertionError as error:
            assert "have a gradient" in str(error)
            return False
        return worst <= BOUNDS[torch.float32].error

    assert passes(lambda y: y) and not passes(leak)
