"""A recogniser with two heads on one acoustic model: CTC, and a decoder that attends to the model's output."""

from serenanet_modules.lobes.ctc_model import CTCModel
from serenanet_modules.lobes.decoders.attention_decoder import with_border


class HybridModel(CTCModel):
    """Hybrid CTC/attention (Watanabe et al. 2017); with ``n_units`` None attention alone.

    Parameters
    ----------
    attention : AttentionDecoder
        Of the same sizes ``d_model`` and ``n_units``.
    **parts
        As in `CTCModel`.
    """

    settings = ("attention_beam_size", "length_normalisation", "neural_lm")

    def __init__(self, attention, **parts):
        super().__init__(**parts)
        self.attention = attention

    @property
    def unit_parts(self):
        """As of `CTCModel`, with those of the attention decoder."""
        return [*super().unit_parts, *self.attention.unit_parts]

    def forward(self, wavs, lengths, conditions=None, labels=None):
        """wavs (B, S), lengths (B,) int64 samples, `Conditions`, labels (B, U) int64 -> `CTCOutput`.

        Its ``attention`` are the logits (B, U + 1, n_units) of each label after those before it, and of the end after
        the last; None without labels.
        """
        output = super().forward(wavs, lengths, conditions)
        if labels is None:
            return output
        logits = self.attention(with_border(labels), output.hidden, output.lengths)
        return output._replace(attention=logits.float())
