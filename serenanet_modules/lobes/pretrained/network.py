"""What the networks of all families have in common."""

from torch import nn

from serenanet_modules.lobes.blocks.lengths import valid_mask

OLDER = {  # names of tensors before torch's parametrisations
    "conv.weight_g": "conv.parametrizations.weight.original0",
    "conv.weight_v": "conv.parametrizations.weight.original1",
}
EPSILON = 1e-7  # of the variance of a waveform
LEVEL = 0.1  # -20 dBFS


class Network(nn.Module):
    """``(wavs (B, S), lengths (B,) samples) -> outputs of the layers, the output, lengths (B,) frames``.

    Samples past a length are zero, and there are `least_samples` at least. Outputs are (B, T, size), whatever in the
    padding.

    Parameters
    ----------
    family : Family
    values : dict
        Of the configuration.
    window : {"cut", "padded"}
        As of `PublicEncoder`; of one family alone.

    Attributes
    ----------
    size : int
        Of a frame.
    body : Module
        With its ``layers``.
    names : dict of str to str
        Beginnings of transformers' names, and what they are called here.
    hop : int
        Samples a frame.
    least_samples : int
        Of an utterance that gives a frame.
    most_seconds : float or None
        Of an utterance.
    front : Module
        The convolutions that the layers stand on, of networks that have some.
    """

    names = {}
    hop = 320
    most_seconds = None

    @property
    def depth(self):
        """Number of layers."""
        return len(self.body.layers)

    def cut(self, layer):
        """Leave out the layers above one, counted from 1, and the norm behind them."""
        self.body.layers = self.body.layers[:layer]

    def ends(self):
        """Lists of modules: the front, what stands between it and the layers, what stands behind the layers."""
        raise NotImplementedError

    def levels(self):
        """As of `AcousticModel.levels`; what stands before and behind the layers belongs to the first and the last."""
        front, below, above = self.ends()
        levels = [[layer] for layer in self.body.layers]
        levels[0].extend(below)
        levels[-1].extend(above)
        return [front, *levels]

    def renamed(self, name):
        """What a tensor of transformers' name is called here, "" for one that is not needed."""
        for old, new in OLDER.items():
            name = name.replace(old, new)
        for prefix in self.prefixes:
            name = name.removeprefix(prefix)
        for old, new in self.names.items():
            if name.startswith(old):
                return new + name.removeprefix(old)
        return ""


def attention_mask(lengths, total):
    """Boolean (B, 1, 1, total), true on keys that count."""
    return valid_mask(lengths, total)[:, None, None, :]


def normalised(wavs, lengths):
    """wavs (B, S), zero past the lengths, with mean 0 and variance 1 over each utterance's own samples."""
    valid, count = valid_mask(lengths, wavs.shape[1]), lengths.unsqueeze(1)
    mean = wavs.sum(1, keepdim=True) / count
    centred = (wavs - mean).masked_fill(~valid, 0.0)
    variance = centred.square().sum(1, keepdim=True) / count
    return centred / (variance + EPSILON).sqrt()


def levelled(wavs, lengths):
    """The same with a root mean square of `LEVEL`, for what was trained on samples as they are, most of them such."""
    return LEVEL * normalised(wavs, lengths)
