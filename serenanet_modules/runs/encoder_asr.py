"""What SpeechBrain's ``EncoderASR.from_hparams(source=RESULT_DIR)`` finds in a result folder's hyperparams.yaml.

It gives the text of greedy CTC decoding: for phoneme units phones, for models with an attention decoder that of the CTC
head. SpeechBrain hands over tensors, so that audio is read whole, however long, and not in pieces as everywhere else.
"""

from pathlib import Path

import soxr
import torch
from speechbrain.utils.fetching import FetchConfig, LocalStrategy, fetch
from speechbrain.utils.parameter_transfer import Pretrainer
from torch import nn

from serenanet_modules.config.foreign import FILE, check_format
from serenanet_modules.config.reading import read_yaml
from serenanet_modules.data.audio import SAMPLE_RATE, mixed
from serenanet_modules.data.units import load_units
from serenanet_modules.decoding.greedy import greedy
from serenanet_modules.errors import UserError
from serenanet_modules.lobes.blocks.lengths import valid_mask
from serenanet_modules.runs.opening import load_weights
from serenanet_modules.runs.whole import WEIGHTS, check_files
from serenanet_modules.runtime.files import read_json

INDEX, UNITS = "units.json", "units.model"


class Encoder(nn.Module):
    """From waveforms to log-probabilities, as EncoderASR calls its encoder.

    Parameters
    ----------
    model : CTCModel
    scoring : {"decoder", "car", "average"}

    Raises
    ------
    UserError
        For a model without CTC, which gives no log-probabilities of frames.
    """

    def __init__(self, model, scoring):
        super().__init__()
        if not model.scorings:
            raise UserError("SpeechBrain's EncoderASR reads models with a CTC head, and this one has none")
        self.model, self.scoring = model, scoring

    def forward(self, wavs, wav_lens):
        """wavs (B, S), wav_lens (B,) of the longest -> log-probabilities (B, T, V), certainly blank in the padding.

        So nobody needs to guess frames from relative lengths, which rounding makes wrong and learned chunks more so.
        """
        lengths = (wav_lens * wavs.shape[1]).round().long()
        output = self.model(wavs, lengths)
        log_probs = output.log_probs(self.scoring).clone()
        padding = ~valid_mask(output.lengths, log_probs.shape[1])
        log_probs[padding] = -torch.inf
        log_probs[..., 0].masked_fill_(padding, 0.0)
        return log_probs


class Tokenizer:
    """The units' text, once `load` has opened them."""

    units = None

    def load(self, folder):
        """Open the units in a folder."""
        self.units = load_units(folder)

    def decode_ids(self, ids):
        """Text of labels."""
        return self.units.decode(ids)


def greedy_labels(log_probs, wav_lens, blank_id):
    """Labels of each utterance, from what `Encoder` gives; wav_lens (B,) are not needed."""
    return greedy(log_probs, torch.full(wav_lens.shape, log_probs.shape[1]), blank_id)


def mono(signal, rate):
    """signal (N,) or (N, channels) at any rate -> (N,) at 16 kHz, as `data.audio.load` makes it of a file."""
    signal = torch.from_numpy(mixed(signal.cpu().numpy())).to(signal.device) if signal.ndim == 2 else signal
    if rate == SAMPLE_RATE:
        return signal
    return torch.from_numpy(soxr.resample(signal.cpu().numpy(), rate, SAMPLE_RATE)).to(signal.device)


class FolderPretrainer(Pretrainer):
    """Takes weights and units from a result folder, or from what `fetch` knows that has the same files.

    Parameters
    ----------
    model : CTCModel
    tokenizer : Tokenizer
    """

    def __init__(self, model, tokenizer):
        super().__init__()
        self.modules, self.tokenizer = nn.ModuleDict({"model": model}), tokenizer

    def collect_files(self, default_source=None, local_strategy=LocalStrategy.SYMLINK, fetch_config=None, **more):
        """Find the files, or link to them where SpeechBrain was asked for a ``savedir``.

        Raises
        ------
        UserError
            For a folder of another format.
        """

        def collect(inside):
            where = {"savedir": self.collect_in, "save_filename": Path(inside).name}
            config = FetchConfig() if fetch_config is None else fetch_config
            return fetch(inside, default_source, local_strategy=local_strategy, fetch_config=config, **where)

        settings = collect(FILE)
        check_format(read_yaml(settings), settings)
        if default_source is not None and Path(default_source).is_dir():
            check_files(default_source, FILE, WEIGHTS, f"save/units/{INDEX}", f"save/units/{UNITS}")
        self.paths[WEIGHTS] = collect(WEIGHTS)
        self.paths[INDEX] = collect(f"save/units/{INDEX}")
        if read_json(Path(self.paths[INDEX]))["kind"] != "phoneme":
            self.paths[UNITS] = collect(f"save/units/{UNITS}")
        return self.paths

    def load_collected(self):
        """Load what was found."""
        load_weights(self.modules, self.paths[WEIGHTS])
        self.tokenizer.load(Path(self.paths[INDEX]).parent)
