"""Whisper's features as an acoustic model's: of 30 s, as its weights were trained, or of what is there."""

from torch.nn import functional

from serenanet_modules.lobes.blocks.lengths import zero_padding
from serenanet_modules.lobes.blocks.parts import Part
from serenanet_modules.lobes.pretrained.log_mel import WhisperLogMel
from serenanet_modules.lobes.pretrained.spectrum import HOP, WINDOW


class WhisperFeatures(Part):
    """Log-mel whose range is set by the loudest frame of each utterance.

    The samples are taken as loud as they are, and zeros follow them, so that an utterance's features are its own
    whatever it is batched with. Of utterances shorter than ``most_seconds`` they are those of transformers.

    Parameters
    ----------
    n_mels : int
    most_seconds : float
        Longer audio is cut for the model.
    padded : bool
        Whether an utterance is read as so long, with silence behind it, whatever its length; ``false`` costs what it is
        long, and is for weights that have learned it.
    """

    hop, frame_seconds = HOP, 0.01
    statistics = {}

    def __init__(self, n_mels=80, most_seconds=30.0, padded=True):
        super().__init__()
        self.most_seconds, self.least_seconds = most_seconds, most_seconds if padded else 0.0
        self.log_mel = WhisperLogMel(n_mels)

    def forward(self, wavs, lengths):
        """wavs (B, S), lengths (B,) int64 samples -> features (B, T, n_mels), lengths (B,) frames."""
        least = round(self.least_seconds / self.frame_seconds)  # frames
        frames = (lengths // HOP).clamp(min=least) if least else lengths // HOP + 1
        total = max(least, wavs.shape[1] // HOP + 1)
        wavs = zero_padding(wavs.unsqueeze(-1), lengths).squeeze(-1)
        wavs = functional.pad(wavs, (0, max(0, total * HOP + WINDOW - wavs.shape[1])))
        return zero_padding(self.log_mel(wavs, total), frames), frames
