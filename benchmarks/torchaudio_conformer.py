"""torchaudio's Conformer behind this project's encoder contract, as a contestant of training_step.py."""

from torchaudio.models import Conformer

from serenanet_modules.lobes.blocks.lengths import zero_padding
from serenanet_modules.lobes.blocks.parts import Encoder, Frames


class TorchaudioConformer(Encoder):
    """``torchaudio.models.Conformer``, without positions, batch norm in its convolutions.

    Parameters
    ----------
    d_model, n_heads, n_layers, d_ffn : int
    kernel_size : int
        Width of the depthwise convolution.
    dropout : float
    """

    def __init__(self, d_model, n_heads, n_layers, d_ffn, kernel_size=31, dropout=0.1):
        super().__init__()
        self.conformer = Conformer(d_model, n_heads, d_ffn, n_layers, kernel_size, dropout)

    def forward(self, x, lengths, least=None):
        """x (B, T, d_model), lengths (B,) -> `Frames` of the same shape."""
        return Frames(zero_padding(self.conformer(x, lengths)[0], lengths), lengths)
