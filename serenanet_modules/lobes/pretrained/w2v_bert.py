"""The network of w2v-BERT 2.0: conformer layers on filterbank frames (Chung et al. 2021, arXiv 2108.06209)."""

from serenanet_modules.lobes.blocks.lengths import valid_mask, zero_padding
from serenanet_modules.lobes.pretrained.fbank import SeamlessFbank
from serenanet_modules.lobes.pretrained.network import Network, attention_mask
from serenanet_modules.lobes.pretrained.spectrum import HOP, WINDOW


class W2vBertNetwork(Network):
    """Features, a projection, conformer layers; without the adapter that may stand behind them."""

    prefixes = ("wav2vec2_bert.",)
    names = {"feature_projection.": "projection.", "encoder.": "body."}
    least_samples = WINDOW + HOP

    def __init__(self, family, values, window):
        super().__init__()
        config = family.configuration(values)
        model = family.base_class()(config)
        self.features = SeamlessFbank(config.feature_projection_input_dim // 2)
        self.projection, self.body, self.size = model.feature_projection, model.encoder, config.hidden_size

    def ends(self):
        """As of `Network`."""
        positions = self.body.embed_positions
        return [self.features, self.projection], [] if positions is None else [positions], []

    def forward(self, wavs, lengths):
        """As of `Network`."""
        x, lengths = self.features(wavs, lengths)
        x = self.body.dropout(zero_padding(self.projection(x)[0], lengths))
        more = {
            "attention_mask": attention_mask(lengths, x.shape[1]),
            "conv_attention_mask": valid_mask(lengths, x.shape[1]),
            "relative_position_embeddings": self._positions(x),
        }
        outputs = []
        for layer in self.body.layers:
            x = layer(x, **more)
            outputs.append(x)
        return outputs, x, lengths

    def _positions(self, x):
        embed = self.body.embed_positions
        if embed is None:
            return None
        embed.cached_sequence_length = None  # what was kept may be of an inference, which no training can use
        return embed(x)
