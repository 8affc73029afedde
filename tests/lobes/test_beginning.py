"""What a training from nothing begins with: frames of different sounds differ, or CTC stays where it begins."""

import pytest
import torch

from serenanet_modules.lobes.frontends import DepthwiseStriding
from tests.support.parts import everything


def frames_of(frontend, mels):
    """Frames (T, d_model) of features that change as slowly as speech."""
    noise = torch.randn(1, 807, mels, generator=torch.Generator().manual_seed(3))
    x = noise.unfold(1, 8, 1).mean(-1) * 8**0.5
    with torch.no_grad():
        return frontend(x, torch.tensor([x.shape[1]])).x[0]


@pytest.mark.parametrize("part", [part for part in everything() if part.kind == "frontends"], ids=str)
def test_frames_of_a_front_end_differ_beside_what_they_share(part):
    frames = frames_of(part.build(), 20)
    shared = frames.mean(0)
    assert (frames - shared).norm() > 0.3 * shared.expand_as(frames).norm()


def test_frames_that_fast_conformer_multiplies_have_the_size_of_embeddings():
    torch.manual_seed(1)
    size = frames_of(DepthwiseStriding(80, 128, filters=64).eval(), 80).square().mean().sqrt()
    assert 0.5 < size * 128**0.5 < 2
