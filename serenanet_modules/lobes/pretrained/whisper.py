"""The encoder of Whisper (Radford et al. 2022, arXiv 2212.04356), which was trained on windows of 30 s."""

from torch import nn
from torch.nn import functional

from serenanet_modules.lobes.pretrained.log_mel import WhisperLogMel
from serenanet_modules.lobes.pretrained.network import Network, attention_mask, levelled
from serenanet_modules.lobes.pretrained.spectrum import HOP

FRAME = 2 * HOP  # samples
MORE = 2  # mel frames behind the last one that still hear it


class WhisperNetwork(Network):
    """Log-mel, two convolutions with positions, transformer layers.

    Parameters
    ----------
    family, values
        As of `Network`.
    window : {"cut", "padded"}
        ``padded`` reads zeros up to the longest that it has positions for, as it was trained;
        ``cut`` reads the utterance alone, which costs what the utterance is long.
    """

    prefixes = ("model.", "encoder.")
    names = {"conv": "front.conv", "embed_positions.weight": "positions", "layer": "body.layer"}
    hop = least_samples = FRAME

    def __init__(self, family, values, window):
        super().__init__()
        config = family.configuration(values)
        model = family.base_class()(config)
        self.features = WhisperLogMel(config.num_mel_bins)
        self.front = nn.ModuleDict({"conv1": model.conv1, "conv2": model.conv2})
        self.register_buffer("positions", model.embed_positions.weight.detach())  # sines, which nothing learns
        self.body = nn.ModuleDict({"layers": model.layers, "layer_norm": model.layer_norm})
        self.size, self.padded, self.dropout = config.d_model, window == "padded", config.dropout
        self.most_frames = config.max_source_positions
        self.most_seconds = self.most_frames * FRAME / 16000

    def ends(self):
        """As of `Network`."""
        return [self.features, self.front], [], [self.body.layer_norm]

    def forward(self, wavs, lengths):
        """As of `Network`."""
        frames = -(-lengths // FRAME)
        x = self._front(levelled(wavs, lengths))
        mask = None if self.padded else attention_mask(frames, x.shape[1])
        outputs = []
        for layer in self.body.layers:
            x = layer(x, mask)
            outputs.append(x)
        total = -(-wavs.shape[1] // FRAME)
        return [y[:, :total] for y in outputs], self.body.layer_norm(x)[:, :total], frames

    def _front(self, wavs):
        """wavs (B, S) -> (B, T, size), T of the utterance or of the whole window."""
        total = self.most_frames if self.padded else -(-wavs.shape[1] // FRAME)
        more = 0 if self.padded else MORE
        silence = FRAME * total + HOP * (more + more // 2) - wavs.shape[1]
        mel = self.features(functional.pad(wavs, (0, silence)), 2 * total + more)
        x = functional.gelu(self.front.conv1(mel.transpose(1, 2)))
        x = functional.gelu(self.front.conv2(x)).transpose(1, 2)[:, :total]
        x = x + self.positions[:total]
        return functional.dropout(x, self.dropout, self.training)
