"""A recording's gain and offset change nothing; what is no speech is not made as loud as speech."""

import pytest
import torch

from serenanet_modules.data.audio import SAMPLE_RATE, load
from serenanet_modules.lobes.blocks.lengths import zero_padding
from serenanet_modules.lobes.decoders.attention_decoder import LabelLM
from serenanet_modules.lobes.features import LogMel
from serenanet_modules.lobes.level import FIRST, LEAST, running_level
from serenanet_modules.lobes.whisper_features import WhisperFeatures
from tests.support.parts import everything
from tests.support.tiny import SAMPLE

CHANGES = [(10 ** (decibel / 20), offset) for decibel in (-30, -12, 12) for offset in (0.0, 0.1, -0.1)]
MODELS = [thing for thing in everything() if thing.kind == "models"]


@pytest.fixture(scope="module")
def speech():
    """Two clips (2, S) and their lengths; the shorter one is padded."""
    clips = [torch.from_numpy(load(path)) for path in sorted((SAMPLE / "clips").iterdir())[:2]]
    return torch.nn.utils.rnn.pad_sequence(clips, batch_first=True), torch.tensor([len(clip) for clip in clips])


def features_of(wavs, lengths):
    """Decibels (B, T, 80), 0 in the padding."""
    return zero_padding(*LogMel(80, 1024).raw(wavs, lengths))


@pytest.mark.parametrize(("gain", "offset"), CHANGES)
def test_features(speech, gain, offset):
    wavs, lengths = speech
    found = features_of(gain * wavs + offset, lengths)
    difference = (found - features_of(wavs, lengths)).abs().max()
    print(f"largest difference {difference:.1e} dB")
    assert difference < 0.01 if offset == 0 else difference < 0.3


@pytest.mark.parametrize("thing", MODELS, ids=str)
@torch.no_grad()
def test_every_model(thing, speech):
    """What models make of features, tomorrow's too, knows nothing of the level either, but Whisper as it came."""
    model, (wavs, lengths) = thing.build(), speech
    if isinstance(model, LabelLM) or isinstance(getattr(model.acoustic, "features", None), WhisperFeatures):
        return
    wanted = model.acoustic(wavs, lengths).hidden
    for gain, offset in ((10**-1.5, 0.0), (4.0, 0.0), (1.0, 0.1)):
        found = model.acoustic(gain * wavs + offset, lengths).hidden
        assert found.shape == wanted.shape
        assert (found - wanted).abs().max() < 0.02 * wanted.abs().max()


@pytest.mark.parametrize(("decibel", "most"), [(0, 0.01), (-12, 0.3), (-30, 1.5), (-40, 3.0)])
def test_sixteen_bits(speech, decibel, most):
    """Their rounding is no part of the features; the mean difference in dB. These clips are 20 dB below full scale."""
    wavs, lengths = speech
    rounded = torch.round(wavs * 10 ** (decibel / 20) * 32768) / 32768
    difference = (features_of(rounded, lengths) - features_of(torch.round(wavs * 32768) / 32768, lengths)).abs().mean()
    print(f"mean difference {difference:.2f} dB")
    assert difference < most


@pytest.mark.parametrize("gain", [1.0, 1e-1, 1e-3])
def test_noise_stays_quiet(gain):
    """Steady noise, however loud: 15 dB below what speech would be, as in the pauses of a noisy recording."""
    noise = gain * 0.3 * torch.randn(1, 4 * SAMPLE_RATE)
    x = features_of(noise, torch.tensor([noise.shape[1]]))
    assert -17 < x.mean() < -13


def test_steady_noise_before_speech_changes_it_little(speech):
    """The level is the speech's as soon as there is some."""
    wavs, lengths = speech[0][:1], speech[1][:1]
    wavs = wavs[:, : lengths[0]]
    noise = 1e-3 * wavs.abs().max() * torch.randn(1, 3 * SAMPLE_RATE)
    alone, behind = (
        LogMel(80, 1024).raw(w, torch.tensor([w.shape[1]]))[0] for w in (wavs, torch.cat([noise, wavs], 1))
    )
    loud = alone[0, FIRST:] > -20
    assert (behind[0, 3 * FIRST + FIRST :] - alone[0, FIRST:])[loud].abs().mean() < 1.0


@pytest.mark.parametrize("decibel", [15, 40])
@pytest.mark.parametrize("second", [0.0, 0.3, 1.5])
def test_a_knock_takes_no_level_with_it(speech, second, decibel):
    """10 ms of any loudness: features of all frames that it does not reach stay within a decibel in the mean."""
    wavs, lengths = speech[0][:1].clone(), speech[1][:1]
    alone = features_of(wavs, lengths)
    at, size = int(second * SAMPLE_RATE), SAMPLE_RATE // 100
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(size) / SAMPLE_RATE)
    wavs[0, at : at + size] += wavs.abs().max() * 10 ** (decibel / 20) * tone
    difference = (features_of(wavs, lengths) - alone).abs().mean(-1)[0]
    knocked = slice(max(0, int(second * 100) - 3), int(second * 100) + 5)
    difference[knocked] = 0.0
    print(f"mean difference {difference.mean():.2f} dB")
    assert difference.mean() < 1.0


def test_the_level_follows():
    """Up at once, down by 20 dB in under half a minute; silence and padding take no part."""
    power = torch.full((1, 6000), 1e-2)
    power[0, 1000:2000], power[0, 2000:] = 1.0, 1e-2
    power[0, ::10] = 1e-6  # short pauses
    power[0, 500:600] = 0.0
    level = running_level(power, torch.ones(1, 6000, dtype=torch.bool))[0][0]
    torch.testing.assert_close(level[[50, 550, 999]], torch.full((3,), 1e-2), rtol=0.1, atol=0)
    assert level[1030] > 0.7 and level[1999] > 0.9 and level[2100] > 0.9
    assert level[2000 + 3000] < 2e-2
    padded = torch.cat([power, torch.full((1, 50), float("nan"))], 1)
    valid = torch.arange(6050)[None] < 6000
    assert torch.equal(running_level(padded, valid)[0][0, :6000], level)


def test_hours_in_pieces_are_the_whole(monkeypatch):
    power, valid = torch.rand(2, 1000).pow(6), torch.arange(1000) < torch.tensor([[1000], [640]])
    whole, state = running_level(power, valid)
    monkeypatch.setattr("serenanet_modules.lobes.level.PIECE", 150)
    level, following = running_level(power, valid)
    torch.testing.assert_close(level, whole)
    torch.testing.assert_close(following, state)


def test_what_is_not_heard_has_no_level():
    level, _ = running_level(torch.full((1, 200), LEAST / 2), torch.ones(1, 200, dtype=torch.bool))
    assert (level == 1).all()
