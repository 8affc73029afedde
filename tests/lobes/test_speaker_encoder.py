"""The speaker encoder's features and vectors."""

import torch
from torchaudio.transforms import MelSpectrogram

from serenanet_modules.lobes.speaker_encoder import LEVEL, SAMPLES, SpeakerEncoder


def test_vectors_are_those_of_the_layers_over_mel_power():
    """Beside torchaudio's own spectrogram; whatever the level, and whatever else is in the batch."""
    torch.manual_seed(0)
    encoder, wavs = SpeakerEncoder().eval(), torch.randn(3, SAMPLES)
    mel = MelSpectrogram(16000, 400, hop_length=160, n_mels=40, norm="slaney", mel_scale="slaney", pad_mode="constant")
    mels = mel(wavs * LEVEL / wavs.square().mean(1, keepdim=True).sqrt()).mT[:, :160]
    with torch.inference_mode():
        raw = encoder.linear(encoder.lstm(mels)[0][:, -1]).relu()
        found, loud = encoder(wavs), encoder(0.01 * wavs[1:2])
    torch.testing.assert_close(found, raw / raw.norm(dim=1, keepdim=True), rtol=0, atol=1e-5)
    torch.testing.assert_close(loud, found[1:2], rtol=0, atol=1e-5)
    assert torch.isfinite(encoder(torch.zeros(1, SAMPLES))).all()
