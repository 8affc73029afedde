"""One property for all lobes: what surrounds an utterance in its batch changes neither output nor gradients."""

import pytest
import torch

TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


def assert_padding_is_harmless(run, lobe, features, lengths=(1, 5, 12, 23, 40)):
    """Compare each utterance alone with the same one in batches with other padding, mates and padding content.

    Parameters
    ----------
    run : callable
        (x (B, T, F), lengths (B,)) -> list of tensors (B, T', ...) whose padding is already cut off or zero.
    lobe : Module
        In evaluation mode; its parameters' gradients are compared too.
    features : int
    lengths : tuple of int
        Of the utterances.
    """
    generator = torch.Generator().manual_seed(0)
    utterances = [torch.randn(n, features, generator=generator) for n in lengths]
    mates = [torch.randn(n, features, generator=generator) for n in (max(lengths) + 9, 2)]
    for x in utterances:
        alone, direction = _outputs_and_gradients(run, lobe, [x], len(x), 0.0, None)
        for extra, content, others in ((7, 0.0, []), (64, 1e3, []), (3, float("nan"), []), (5, float("nan"), mates)):
            total = max(map(len, [x, *others])) + extra
            batch, _ = _outputs_and_gradients(run, lobe, [x, *others], total, content, direction)
            for name, expected in alone.items():
                where = f"{name} of {len(x)} frames, padding {content}, {len(others)} mates: "
                torch.testing.assert_close(batch[name], expected, **TOLERANCE, msg=where.__add__)


def _outputs_and_gradients(run, lobe, utterances, total, content, direction):
    """Outputs of the first utterance and gradients of a projection of them, by name, and that projection."""
    lengths = torch.tensor([len(u) for u in utterances])
    x = torch.full((len(utterances), total, utterances[0].shape[1]), content)
    for i, u in enumerate(utterances):
        x[i, : len(u)] = u
    x.requires_grad_()
    outputs = run(x, lengths)
    if direction is None:
        generator = torch.Generator().manual_seed(1)
        direction = [torch.randn(y[0].shape, generator=generator) for y in outputs]
    first = [y[0, : len(d)] for y, d in zip(outputs, direction, strict=True)]
    parameters = dict(lobe.named_parameters())
    loss = sum((y * d).mean() for y, d in zip(first, direction, strict=True))
    grads = torch.autograd.grad(loss, [x, *parameters.values()], allow_unused=True, materialize_grads=True)
    found = {f"output {i}": y.detach() for i, y in enumerate(first)}
    found["gradient of the input"] = grads[0][0, : len(utterances[0])]
    found |= {f"gradient of {name}": g for name, g in zip(parameters, grads[1:], strict=True)}
    return found, direction


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture(name="assert_padding_is_harmless")
def _assert_padding_is_harmless():
    return assert_padding_is_harmless
