"""What counts as held out, of files that have nothing but a name or a sound in common."""

import numpy as np
import pytest
import soundfile

from serenanet_modules.data.held_out import HeldOut
from serenanet_modules.data.manifest import Candidate

RATE = 16000
HELD = ("dev/001.wav", "dev/mahojiano.wav", "a/intro.wav", "b/intro.wav", "dev/13245678901.wav")


def candidate(path, name=None, split="train"):
    return Candidate(name or path.stem, path, "", "", "sw", split)


@pytest.mark.parametrize(
    ("name", "what"),
    [("001", ""), ("intro", ""), ("mahojiano", "id"), ("13245678901", "id"), ("a-intro", "id")],
)
def test_names(tmp_path, name, what):
    """Running numbers, and names that two recordings have, say nothing; others and whole ids do."""
    ids = [path.removesuffix(".wav").replace("/", "-") for path in HELD]
    held_out = HeldOut(candidate(tmp_path / path, *given) for path, *given in zip(HELD, ids, ["test"] * 5, strict=True))
    assert held_out.has(candidate(tmp_path / f"radio/{name}.wav"), "habari") == what
    numbered = HeldOut([candidate(tmp_path / "001.wav", split="dev")])
    assert numbered.has(candidate(tmp_path / "radio/001.wav"), "habari") == ""


def test_a_copy_is_known_by_its_samples(tmp_path):
    """In another format and under another name, where sounds are compared; what is only as long is none."""
    noise = np.random.default_rng(0).integers(-(2**14), 2**14, (2, 2 * RATE), np.int16)
    for name, samples in (("dev.wav", noise[0]), ("copy.flac", noise[0]), ("other.flac", noise[1])):
        soundfile.write(tmp_path / name, samples, RATE, subtype="PCM_16")
    dev = [candidate(tmp_path / "dev.wav", split="dev"), candidate(tmp_path / "missing.wav", split="dev")]
    found = [
        HeldOut(dev, by_sound).has(candidate(tmp_path / name), "habari")
        for by_sound in (True, False)
        for name in ("copy.flac", "other.flac", "gone.flac")
    ]
    assert found == ["recording", "", "", "", "", ""]
