"""What a training from nothing begins with: frames of different sounds differ, or CTC stays where it begins."""

import pytest
import torch

from tests.support.parts import everything


@pytest.mark.parametrize("part", [part for part in everything() if part.kind == "frontends"], ids=str)
def test_frames_of_a_front_end_differ_beside_what_they_share(part):
    frontend = part.build()
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(1, 800, 20, generator=generator).unfold(1, 8, 1).mean(-1) * 8**0.5  # changing as slowly as speech
    with torch.no_grad():
        frames = frontend(x, torch.tensor([x.shape[1]])).x[0]
    shared = frames.mean(0)
    assert (frames - shared).norm() > 0.3 * shared.expand_as(frames).norm()
