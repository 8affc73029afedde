"""The variant for sherpa-onnx, whose loader of Omnilingual ASR reads raw audio: ``from_omnilingual_asr_ctc``.

Its other CTC loaders compute Kaldi's filterbanks, which are not this project's features. This one hands over audio of
zero mean and unit variance, ``(x - m) / sqrt(s² + ε)``: another offset and another gain, which the features do not
know. The loader takes a frame for 20 ms, so frames are repeated.
"""

import numpy as np
import torch
from torch import nn

EPSILON = 1e-5  # of the loader's normalisation
FRAME = 0.02  # seconds in the loader's frame


class ForSherpa(nn.Module):
    """From normalised audio alone to log-probabilities.

    Parameters
    ----------
    network : Network
    """

    def __init__(self, network):
        super().__init__()
        self.network, self.repeats = network, repeats(network.model)

    def forward(self, audio):
        """audio (B, S), normalised -> log-probabilities (B, T, V)."""
        lengths = torch.full_like(audio[:, 0], audio.shape[1], dtype=torch.int64)
        log_probs, _ = self.network(audio, lengths)
        return log_probs.unsqueeze(2).expand(-1, -1, self.repeats, -1).flatten(1, 2)


def repeats(model):
    """How often a frame of a model is given to the loader, so that its times are right; frames of 10 ms double them.

    Chunks, which have no common length, are given once.
    """
    return max(1, int((model.acoustic.frame_seconds or FRAME) / FRAME + 0.01))


class AsSherpa:
    """Runs such a file on utterances one by one, as the loader does.

    Parameters
    ----------
    run : callable
        (audio (1, S), lengths) -> log-probabilities (1, T, V), frames (1,).
    model : CTCModel
        The model that it was made from.
    """

    def __init__(self, run, model):
        self._run, self._repeats = run, repeats(model)

    def __call__(self, audio, lengths):
        """audio (B, S) float32, lengths (B,) int64 -> log-probabilities (B, T, V), frames (B,)."""
        found = [
            self._run(_normalised(row[:n]), None)[0][0, :: self._repeats] for row, n in zip(audio, lengths, strict=True)
        ]
        frames = np.array([len(y) for y in found])
        log_probs = np.zeros((len(found), frames.max(), found[0].shape[1]), np.float32)
        for row, y in zip(log_probs, found, strict=True):
            row[: len(y)] = y
        return log_probs, frames


def _normalised(samples):
    """What the loader makes of samples (S,), as a batch (1, S)."""
    mean = samples.mean()
    variance = max((samples * samples).mean() - mean * mean, 0)
    return ((samples - mean) / (variance + np.float32(EPSILON)) ** 0.5)[None]
