"""Models as they are used: what is read beside an utterance changes no bit where each is read alone; eight bits.

Models are found by themselves in hparams/ (support/parts.py).
"""

import numpy as np
import pytest
import torch
from torch import nn

from serenanet_modules.decoding.network import Network, exact_parts
from serenanet_modules.lobes.ctc_model import CTCModel
from serenanet_modules.runtime.quantised import Int8Linear, quantise
from tests.support.parts import everything

MODELS = [thing for thing in everything() if thing.kind == "models"]
SECONDS = (0.4, 0.15, 0.3)
INT8 = 0.02  # of the norm of what the heads read and say


def sources():
    """Samples of some utterances; those of one begin elsewhere in memory."""
    generator = np.random.default_rng(0)
    found = [generator.normal(0, 0.1, int(s * 16000)).astype(np.float32) for s in SECONDS]
    return found[0], np.concatenate([np.zeros(3, np.float32), found[1]])[3:], found[2]


def heard(network, chosen):
    """What the heads read of each source, and the log-probabilities."""

    def hear(pieces):
        output = network.output(pieces)
        tensors = [output.hidden, *(output.log_probs(name) for name in network.modules["model"].scorings)]
        return [torch.cat([x[i, :n].float() for x in tensors], -1) for i, n in enumerate(output.lengths.tolist())]

    with torch.inference_mode():
        return [torch.cat(parts) for _, parts in network.read(chosen, hear, 1.0)]


def network_of(model, alone=False):
    return Network(nn.ModuleDict({"model": model}), torch.device("cpu"), alone=alone)


def equal(a, b):
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("thing", MODELS, ids=str)
def test_alone_and_in_eight_bits(thing):
    """Alone: each bit is the same, whatever is read before and after. In eight bits: near, and its own in any batch."""
    model, x = thing.build(), sources()
    if not isinstance(model, CTCModel):
        return
    alone = [heard(network_of(model, alone=True), [source.copy()])[0] for source in x]
    assert equal(heard(network_of(model, alone=True), x), alone)
    assert quantise(model, exact_parts(model))["layers"] > 0
    rounded = heard(network_of(model), x)
    errors = [float((a - b).norm() / b.norm()) for a, b in zip(rounded, alone, strict=True)]
    (single,) = heard(network_of(model), x[1:2])
    print("errors", max(errors), float((rounded[1] - single).norm() / single.norm()))
    assert 0 < max(errors) < INT8 and (rounded[1] - single).norm() < INT8 / 2 * single.norm()


def test_in_batches_bits_differ():
    """Without the option, or the test would show nothing."""
    models = [thing.build() for thing in MODELS if thing.name in ("conformer_ctc", "serenanet", "whisper_like")]
    found = [[heard(network_of(model), [source])[0] for source in sources()] for model in models]
    assert not all(equal(heard(network_of(m), sources()), alone) for m, alone in zip(models, found, strict=True))


def test_a_layer_of_eight_bits():
    """Rows and frames have scales of their own: a frame's output is that of the frame alone, bit by bit."""
    torch.manual_seed(0)
    layer, x = nn.Linear(48, 24), torch.randn(3, 5, 48) * torch.tensor([1e-6, 1.0, 1e6]).view(3, 1, 1)
    made = Int8Linear(layer)
    y = made(x)
    assert torch.equal(y[1], made(x[1])) and torch.equal(y[2, 3], made(x[2, 3]))
    assert (y - layer(x))[1:].norm() < 0.01 * y[1:].norm() and (made.weight - layer.weight).abs().max() < 1e-3
    assert made(torch.zeros(2, 48)).equal(layer.bias.expand(2, -1)) and made(torch.empty(0, 48)).shape == (0, 24)
    assert isinstance(made, nn.Linear) and not any(name == "weight" for name, _ in made.named_parameters())


def test_layers_that_are_shared_stay_shared():
    shared = nn.Linear(8, 8)
    model = nn.ModuleDict({"a": shared, "b": nn.Sequential(shared), "exact": nn.Linear(8, 8)})
    assert quantise(model, [model["exact"]]) == {"layers": 1, "share_of_parameters": round(64 / 144, 4)}
    assert model["a"] is model["b"][0] and type(model["exact"]) is nn.Linear
    assert quantise(model, [model["exact"]])["layers"] == 1 and isinstance(model["a"], Int8Linear)
