"""A second acoustic model, which reads the waveform: what knows acoustic models must bear it as it is."""

import torch
from torch import nn
from torch.nn import functional

from serenanet_modules.lobes.acoustic import AcousticModel, AcousticOutput, regular_edges
from serenanet_modules.lobes.blocks.lengths import zero_padding

STRIDES = (10, 8, 4)  # 320 samples, 20 ms, of kernels as long


class WaveModel(AcousticModel):
    """Convolutions of kernel = stride over samples, and causal ones over their frames.

    Parameters
    ----------
    d_model : int
    kernel_size : int
        Frames that a frame hears, itself and those before.
    """

    frame_seconds, hop = 0.02, 320

    def __init__(self, d_model, kernel_size=5):
        super().__init__()
        sizes = (1, d_model, d_model)
        self.d_model = d_model
        self.down = nn.ModuleList(nn.Conv1d(n, d_model, k, stride=k) for n, k in zip(sizes, STRIDES, strict=True))
        self.context = nn.Conv1d(d_model, d_model, kernel_size)
        self.norm = nn.LayerNorm(d_model)

    def forward(self, wavs, lengths, conditions=None):
        """wavs (B, S), lengths (B,) int64 samples -> `AcousticOutput`; it has no features that could be masked."""
        x = zero_padding(wavs.unsqueeze(-1), lengths)
        frames = torch.div(lengths + self.hop - 1, self.hop, rounding_mode="floor")
        x = self._frames(functional.pad(x, (0, 0, 0, -x.shape[1] % self.hop)))
        x = zero_padding(x, frames)
        hidden = zero_padding(self._heard(functional.pad(x, (0, 0, self._before, 0))), frames)
        return AcousticOutput(hidden, frames, regular_edges(hidden, self.hop))

    @property
    def _before(self):
        return self.context.kernel_size[0] - 1

    def _frames(self, x):
        """x (B, S, 1), whole frames -> (B, S / hop, d_model)."""
        x = x.transpose(1, 2)
        for convolution in self.down:
            x = functional.gelu(convolution(x))
        return x.transpose(1, 2)

    def _heard(self, x):
        """x (B, before + T, d_model) -> (B, T, d_model)."""
        return self.norm(functional.gelu(self.context(x.transpose(1, 2)).transpose(1, 2)))

    # --- piece by piece -------------------------------------------------------------------------------------------

    def delay(self, look_ahead=None):
        """Samples: a frame waits for its own last one."""
        return self.hop

    def init_state(self, batch, look_ahead=None):
        """Samples (B, < hop) of an unfinished frame, and frames (B, before, d_model) that the next one hears."""
        weight = self.norm.weight
        return weight.new_zeros(batch, 0), weight.new_zeros(batch, self._before, self.d_model)

    def step(self, wavs, state):
        """Continue by wavs (B, S), any S: hidden (B, T, d_model) of the frames that are whole now, the next state."""
        waiting, before = state
        wavs = torch.cat([waiting, wavs], dim=1)
        whole = wavs.shape[1] // self.hop * self.hop
        if not whole:
            return before[:, :0], (wavs, before)
        x = torch.cat([before, self._frames(wavs[:, :whole].unsqueeze(-1))], dim=1)
        return self._heard(x), (wavs[:, whole:], x[:, x.shape[1] - self._before :])

    def finish(self, wavs, state):
        """All that is left after the last samples wavs (B, S), S ≥ 0: the last frame may be short."""
        total = state[0].shape[1] + wavs.shape[1]
        return self.step(functional.pad(wavs, (0, -total % self.hop)), state)[0]
