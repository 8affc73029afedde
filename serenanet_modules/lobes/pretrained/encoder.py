"""Any public encoder behind one interface: samples in, frames out."""

import torch
from torch import nn
from torch.nn import functional

from serenanet_modules.lobes.blocks.lengths import zero_padding
from serenanet_modules.lobes.blocks.parts import Frames
from serenanet_modules.lobes.pretrained.families import known, usual_values
from serenanet_modules.ops.observers import unobserved

SAMPLE_RATE = 16000


class PublicEncoder(nn.Module):
    """A public encoder, of transformers' layers; weights are taken by `load`, until then they are random.

    Its output for an utterance is a function of the utterance's samples, the weights and these arguments alone: batch
    mates and padding change nothing, also where the network was trained with a norm over the padding.

    Parameters
    ----------
    source : str
        Folder or hub name that it is from.
    config : dict
        Plain values of its configuration, those of `families` and no others.
    layers : "all" or list of int, optional
        Layers whose outputs are given, side by side, counted from 1; those above are left out. By default the output
        is that of the encoder.
    window : {"cut", "padded"}
        Of Whisper's encoder, which was trained on 30 s, whatever was said in them: whether it reads what is there, or
        zeros up to 30 s as it was trained. Others have no window.
    language : str, optional
        Of MMS: whose adapter is taken.
    revision, sha256 : str, optional
        Of the source and of its weights.
    train_front : bool
        Whether a training may change the convolutions that the layers stand on, where nothing else freezes them.
    keep : {"copy", "reference"}
        Whether a result folder holds the weights or only says where they are from.

    Attributes
    ----------
    d_model : int
        Size of the output, of all layers that are given.
    n_layers : int
        How many those are.
    frame_seconds : float
    hop : int
        Samples a frame.
    most_seconds : float or None
        What the encoder hears at once; longer utterances are read in windows of that.
    """

    def __init__(
        self,
        source,
        config,
        layers=None,
        window="cut",
        language=None,
        train_front=False,
        revision=None,
        sha256=None,
        keep="copy",
    ):
        super().__init__()
        family, values = known(config)
        if window not in ("cut", "padded"):
            raise ValueError(f"window is {window!r}; it must be cut or padded")
        if language is not None and not values.get("adapter_attn_dim"):
            raise ValueError(f"language is {language!r}, but this encoder has no adapters of languages, as MMS has")
        self.source, self.language, self.revision, self.sha256, self.keep = source, language, revision, sha256, keep
        self.network = family.network_class()(family, values, window)
        if hasattr(self.network, "front"):
            self.network.front.requires_grad_(train_front)
        self.layers = _chosen(layers, self.network.depth)
        self._told = f"config={values}, layers={self.layers}, window={window}"
        if self.layers:
            self.network.cut(max(self.layers))
        self.n_layers = max(1, len(self.layers))
        self.d_model = self.n_layers * self.network.size
        self.hop, self.most_seconds = self.network.hop, self.network.most_seconds
        self.frame_seconds = self.hop / SAMPLE_RATE

    @staticmethod
    def usual(given):
        """What a configuration among arguments has where it does not name it, by dotted name, as of `config.usual`."""
        config = given.get("config")
        usual = usual_values(config.get("model_type")) if isinstance(config, dict) else {}
        return {f"config.{key}": value for key, value in usual.items()}

    def extra_repr(self):
        """What decides its frames beside the weights."""
        return self._told

    def forward(self, wavs, lengths):
        """wavs (B, S), lengths (B,) int64 samples -> `Frames` (B, T, d_model), zero past the lengths."""
        wavs = zero_padding(wavs.unsqueeze(-1), lengths).squeeze(-1)
        most = None if self.most_seconds is None else round(self.most_seconds * SAMPLE_RATE)
        if most is None or not unobserved(wavs, lengths) or wavs.shape[1] <= most:  # an exported file reads one window
            return self._read(wavs, lengths)
        return self._in_windows(wavs, lengths, most)

    def _read(self, wavs, lengths):
        least = self.network.least_samples
        # an exported file cannot ask how long its batch is
        missing = max(0, least - wavs.shape[1]) if unobserved(wavs, lengths) else least
        wavs = functional.pad(wavs, (0, missing))
        outputs, last, frames = self.network(wavs, lengths.clamp(min=least))
        x = torch.cat([outputs[layer - 1] for layer in self.layers], dim=-1) if self.layers else last
        return Frames(zero_padding(x, frames), frames)

    def _in_windows(self, wavs, lengths, size):
        """Each window by itself; what is past an utterance's end is read as silence and left out."""
        count = -(-wavs.shape[1] // size)
        windows = functional.pad(wavs, (0, count * size - wavs.shape[1])).view(len(wavs), count, size)
        starts = size * torch.arange(count, device=lengths.device)
        inside = (lengths.unsqueeze(1) - starts).clamp(0, size)  # (B, K)
        found = self._read(windows.flatten(0, 1), inside.flatten())
        frames = (found.lengths.view(len(wavs), count) * (inside > 0)).sum(1)
        return Frames(zero_padding(found.x.view(len(wavs), -1, self.d_model), frames), frames)

    def levels(self):
        """As of `AcousticModel.levels`."""
        return self.network.levels()

    def own(self):
        """Names of the tensors that are the source's, by this network's names for them."""
        return {name: f"network.{name}" for name in self.network.state_dict()}

    def check(self, shapes):
        """Refuse weights that this encoder cannot take.

        Parameters
        ----------
        shapes : dict of str to tuple
            By transformers' names; those of what this encoder lacks do not count.

        Raises
        ------
        ValueError
            With a tensor that is missing or of another shape.
        """
        found = {self.network.renamed(name): tuple(shape) for name, shape in shapes.items()}
        for name, tensor in self.network.state_dict().items():
            if name not in found:
                raise ValueError(f"its weights lack {name}")
            if found[name] != tuple(tensor.shape):
                raise ValueError(f"{name} is {found[name]}, not {tuple(tensor.shape)}")

    def load(self, tensors):
        """Take weights, Tensors by transformers' names; errors as of `check`."""
        self.check({name: tensor.shape for name, tensor in tensors.items()})
        own = self.network.state_dict()
        found = {self.network.renamed(name): tensor for name, tensor in tensors.items()}
        self.network.load_state_dict({name: found[name].to(tensor.dtype) for name, tensor in own.items()})


def _chosen(layers, depth):
    """Numbers of the layers that are given; none for the output as it is."""
    if layers is None:
        return []
    chosen = list(range(1, depth + 1)) if layers == "all" else layers
    if not isinstance(chosen, list) or not chosen or not all(type(n) is int and 1 <= n <= depth for n in chosen):
        raise ValueError(f"layers is {layers!r}; give all, a list of numbers from 1 to {depth}, or null")
    return chosen
