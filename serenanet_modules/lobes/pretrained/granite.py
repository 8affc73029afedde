"""Granite Speech's encoder and projector: conformer layers on stacked log-mel, a window Q-former (arXiv 2505.08699)."""

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from torchaudio.functional import melscale_fbanks

from serenanet_modules.lobes.pretrained.network import Network, levelled
from serenanet_modules.lobes.pretrained.spectrum import HOP, WINDOW

FRAME = 2 * HOP  # samples of a frame of the conformer
N_FFT, RANGE = 512, 8.0  # of log10 that is kept below an utterance's largest value


class GraniteNetwork(Network):
    """Log-mel, conformer layers, and queries that read windows of their frames; its output is that of the projector.

    Transformers' layers take no lengths and so hear padding: utterances are read one by one.
    """

    prefixes = ("model.",)
    names = {"encoder.": "body.", "projector.": "projector."}
    least_samples = 2 * HOP
    depth = 0  # layers cannot be shown by themselves, for the projector reads the last one

    def __init__(self, family, values, window):
        super().__init__()
        config = family.configuration(values)
        self.features = GraniteLogMel(config.encoder_config.input_dim // 2)
        self.body = family.of_model("GraniteSpeechCTCEncoder")(config.encoder_config)
        self.projector = family.of_model("GraniteSpeechEncoderProjector")(config)
        self.size = config.text_config.hidden_size
        self.window, self.queries = config.window_size, config.window_size // config.downsample_rate
        self.hop = self.window * FRAME // self.queries

    def ends(self):
        """As of `Network`."""
        body = self.body
        return [self.features], [body.input_linear], [body.out, body.out_mid, self.projector]

    def forward(self, wavs, lengths):
        """As of `Network`; of the outputs of single layers there are none.

        Raises
        ------
        NotImplementedError
            Where an exported file is made of it.
        """
        if torch.compiler.is_compiling() or torch.jit.is_tracing():
            raise NotImplementedError("Granite Speech's encoder reads utterances one by one, as no exported file can")
        wavs = levelled(wavs, lengths)
        rows = [self._one(wav[:n]) for wav, n in zip(wavs, lengths.tolist(), strict=True)]
        frames = torch.tensor([len(row) for row in rows], device=lengths.device)
        return [], pad_sequence(rows, batch_first=True), frames

    def _one(self, wav):
        """Samples (S,) -> (T, size)."""
        x = self.body(self.features(wav).unsqueeze(0)).last_hidden_state
        return self.projector(x)[0, : -(-len(wav) // self.hop)]  # the last window may be of padding in part


class GraniteLogMel(nn.Module):
    """Samples (S,) -> frames side by side in pairs (S / 320, 2 mels), relative to the largest value.

    Parameters
    ----------
    n_mels : int
    """

    def __init__(self, n_mels):
        super().__init__()
        with torch.device("cpu"):  # torchaudio looks at their values
            filters = melscale_fbanks(N_FFT // 2 + 1, 0.0, 8000.0, n_mels, 16000)
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)

    def forward(self, wav):
        """As the class says."""
        wav = functional.pad(wav, (0, max(0, N_FFT // 2 + 1 - len(wav))))  # which its reflection needs
        options = {"win_length": WINDOW, "window": self.window, "center": True, "return_complex": True}
        power = torch.stft(wav.float(), N_FFT, HOP, **options).abs().square()  # (F, T)
        mel = (power.T @ self.filters).clamp(min=1e-10).log10()
        mel = torch.maximum(mel, mel.amax() - RANGE) / 4 + 1
        return mel[: len(mel) // 2 * 2].reshape(-1, 2 * mel.shape[1])
