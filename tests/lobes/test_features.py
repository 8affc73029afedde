"""Log-mel features against torchaudio, and their normaliser."""

import math

import pytest
import torch
import torchaudio
from speechbrain.processing.features import STFT, Filterbank

from serenanet_modules.lobes.features import UPRIGHT, AbsoluteLogMel, LogMel, differences, mel_filters
from serenanet_modules.lobes.level import FLOOR


def noise(*shape):
    return torch.randn(*shape) * 0.1


def reference(wavs, n_mels, n_fft):
    """Power mel spectrogram (HTK, no area normalisation) of torchaudio in dB, (B, T, n_mels)."""
    mel = torchaudio.transforms.MelSpectrogram(
        sample_rate=16000,
        n_fft=n_fft,
        win_length=400,
        hop_length=160,
        window_fn=torch.hamming_window,
        power=2.0,
        n_mels=n_mels,
        mel_scale="htk",
        norm=None,
        pad_mode="constant",
    )
    return 10 * mel(wavs).clamp(min=1e-10).log10().transpose(1, 2)


def power_in_db(wavs, n_mels, n_fft):
    """Powers of `LogMel` without their scale, (B, T, n_mels)."""
    power = LogMel(n_mels, n_fft).power
    widths = mel_filters(n_mels, n_fft, 16000).sum(0)
    padded = torch.nn.functional.pad(differences(wavs), (n_fft // 2, n_fft // 2))
    return 10 * (power(padded) * widths * power.window.square().sum()).clamp(min=1e-10).log10()


@pytest.mark.parametrize(("n_mels", "n_fft"), [(80, 1024), (128, 1024), (40, 512)])
def test_against_torchaudio(n_mels, n_fft):
    """That power is of differences cannot be seen in it."""
    wavs = noise(2, 8000)
    got, want = power_in_db(wavs, n_mels, n_fft), reference(wavs, n_mels, n_fft)
    assert got.shape == want.shape
    # the triangles differ: torchaudio's have two slopes, SpeechBrain's are as wide on the right as on the left
    assert (got - want).abs().mean() < 0.5
    assert (got - want)[..., 2:].mean().abs() < 0.3


@pytest.mark.parametrize(("n_mels", "n_fft"), [(80, 1024), (128, 1024), (40, 512)])
def test_filters_and_frames_are_those_of_speechbrain(n_mels, n_fft):
    stft = STFT(sample_rate=16000, n_fft=n_fft, center=False)
    filterbank = Filterbank(n_mels=n_mels, n_fft=n_fft, top_db=1e4)  # no floor that depends on the loudest frame
    wavs = torch.cat([noise(2, 8000), torch.zeros(2, 4000)], 1)
    padded = torch.nn.functional.pad(differences(wavs), (n_fft // 2, n_fft // 2))
    hertz = torch.linspace(0, 8000, n_fft // 2 + 1).clamp(min=UPRIGHT)
    spectrum = stft(padded).square().sum(-1) / (2 * torch.sin(torch.pi * hertz / 16000)).square()
    torch.testing.assert_close(power_in_db(wavs, n_mels, n_fft), filterbank(spectrum), rtol=0, atol=1e-3)


def test_long_sound_in_pieces_is_the_whole(monkeypatch):
    """Also where the last piece is a single frame."""
    features = LogMel(20, 512)
    for samples in (10 * 160, 11 * 160, 20 * 160 + 17):
        wavs = noise(2, samples)
        whole = features.raw(wavs, torch.tensor([samples, samples]))[0]
        with monkeypatch.context() as patch:
            patch.setattr("serenanet_modules.lobes.features.PIECE", 5)
            in_pieces = features.raw(wavs, torch.tensor([samples, samples]))[0]
        torch.testing.assert_close(in_pieces, whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("n_mels", "n_fft"), [(80, 1024), (128, 1024), (40, 512)])
def test_the_numbers_are_those_of_speechbrain(n_mels, n_fft):
    """Where its weights are to read them."""
    stft = STFT(sample_rate=16000, n_fft=n_fft, center=False)
    filterbank = Filterbank(n_mels=n_mels, n_fft=n_fft, top_db=1e4)
    wavs = torch.cat([noise(2, 8000), torch.zeros(2, 4000)], 1)
    want = filterbank(stft(torch.nn.functional.pad(wavs, (n_fft // 2, n_fft // 2))).square().sum(-1))
    assert torch.equal(AbsoluteLogMel(n_mels, n_fft).raw(wavs, torch.tensor([12000, 12000]))[0], want)


def test_a_tone_lights_its_own_filter():
    features = LogMel(n_mels=80, n_fft=1024)
    seconds, filters = torch.arange(16000) / 16000, mel_filters(80, 1024, 16000)
    for band in (12, 30, 55):
        hertz = int(filters[:, band].argmax()) * 16000 / 1024
        x, _ = features.raw(torch.sin(2 * torch.pi * hertz * seconds)[None], torch.tensor([16000]))
        assert int(x[0, 50].argmax()) == band


@pytest.mark.parametrize(("samples", "frames"), [(1, 1), (159, 1), (160, 2), (161, 2), (16000, 101)])
def test_frame_count(samples, frames):
    features = LogMel(80, 1024)
    x, lengths = features(noise(1, samples), torch.tensor([samples]))
    assert x.shape == (1, frames, 80) and lengths.tolist() == [frames]


@pytest.mark.parametrize(("n_mels", "n_fft", "empty"), [(128, 400, 4), (128, 512, 1)])
def test_empty_filters_are_refused(n_mels, n_fft, empty):
    with pytest.raises(ValueError, match=f"leaves {empty} empty mel filters"):
        LogMel(n_mels, n_fft)


@pytest.mark.parametrize(("n_mels", "n_fft"), [(128, 1024), (80, 512), (80, 1024)])
def test_no_filter_is_empty(n_mels, n_fft):
    x, _ = LogMel(n_mels, n_fft).raw(noise(1, 16000), torch.tensor([16000]))
    assert x.mean((0, 1)).min() > -60


def test_silence_is_the_floor():
    x, _ = LogMel(80, 1024).raw(torch.zeros(1, 3200), torch.tensor([3200]))
    torch.testing.assert_close(x, torch.full_like(x, 10 * math.log10(FLOOR)))


def test_fit_gives_zero_mean_and_unit_variance():
    features = LogMel(n_mels=30, n_fft=512)
    batches = []
    for scale, lengths in ((1.0, [4000, 1600]), (20.0, [2400, 800])):
        wavs = noise(2, 4000) * scale * torch.rand(2, 20).pow(3).repeat_interleave(200, 1)
        wavs[1, lengths[1] :] = float("nan")
        batches.append((wavs, torch.tensor(lengths)))
    features.fit(batches)
    frames = []
    for wavs, lengths in batches:
        x, count = features(wavs, lengths)
        frames += [row[:n] for row, n in zip(x, count, strict=True)]
    frames = torch.cat(frames)
    torch.testing.assert_close(frames.mean(0), torch.zeros(30), rtol=0, atol=1e-4)
    torch.testing.assert_close(frames.std(0, correction=0), torch.ones(30), rtol=0, atol=1e-4)


def test_statistics_travel_with_the_weights():
    fitted, other = LogMel(20, 512), LogMel(20, 512)
    fitted.fit([(noise(1, 4000), torch.tensor([4000]))])
    other.load_state_dict(fitted.state_dict())
    assert torch.equal(other.mean, fitted.mean) and torch.equal(other.std, fitted.std)
    assert set(fitted.state_dict()) == {"mean", "std"}


def test_bands_that_a_codec_has_cut_stay_mute():
    """What lies there in a recording of another kind, the network has never heard."""
    features, lengths = LogMel(20, 512), torch.tensor([16000])
    speech = noise(1, 16000) * torch.rand(1, 100).pow(3).repeat_interleave(160, 1)
    cut = torchaudio.functional.lowpass_biquad(speech, 16000, 1000)
    for _ in range(9):
        cut = torchaudio.functional.lowpass_biquad(cut, 16000, 1000)
    features.fit([(cut, lengths)])
    x = features(speech, lengths)[0]
    assert x[..., -5:].abs().max() < 1e-3 and x[..., 2:8].std() > 0.5 and x.isfinite().all()


def test_autocast_does_not_touch_the_spectrum():
    features, wavs, lengths = LogMel(20, 512), noise(1, 1600), torch.tensor([1600])
    plain = features(wavs, lengths)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(features(wavs, lengths)[0], plain)
