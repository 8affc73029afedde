"""A result folder opened for use: audio in, text out."""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from tqdm import tqdm

from serenanet_modules.data.audio import SAMPLE_RATE, load
from serenanet_modules.data.batching import BatchSampler
from serenanet_modules.data.units import load_units
from serenanet_modules.decoding.attention import AttentionBeam
from serenanet_modules.decoding.beam import BeamDecoder
from serenanet_modules.decoding.greedy import greedy
from serenanet_modules.decoding.lexicon import Lexicon
from serenanet_modules.errors import UserError
from serenanet_modules.hparams import Hparams
from serenanet_modules.inference.segment import segment
from serenanet_modules.neural_lm import NeuralLMRun

NEEDED = ("hyperparams.yaml", "weights.safetensors", "save/units/units.json")
PARTS = ("model", "features")
SETTINGS = ("scoring", "locale", "beam_size", "lm", "n_units")
ATTENTION_SETTINGS = ("attention_beam_size", "length_normalisation", "neural_lm")  # of models with a label decoder
WEIGHTS = ("lm_weight", "word_score")
WINDOW = 8  # batches of audio held at a time: enough to batch by duration, and memory stays bounded


class Recognizer:
    """A trained recogniser with its units and decoding settings; open one with `from_folder`.

    Parameters
    ----------
    folder : Path
        The result folder, for the language model and the lexicon in it.
    modules : ModuleDict
        ``features`` and ``model``, with weights.
    units : Units
    settings : dict
        The hyper-parameters `SETTINGS`, `ATTENTION_SETTINGS` where the model has a label decoder, and ``decoding``:
        the weights that dev chose.
    device : torch.device
    """

    def __init__(self, folder, modules, units, settings, device):
        self.folder, self.units, self.settings, self.device = folder, units, settings, device
        self.modules = modules.to(device).eval()

    @classmethod
    def from_folder(cls, folder, device="cpu"):
        """Open a finished result folder.

        Parameters
        ----------
        folder : str or Path
            ``results/<dataset>/<experiment>/<seed>``.
        device : str
            Where the network runs, such as ``cpu`` or ``cuda:0``.

        Raises
        ------
        UserError
            For a folder that lacks something or whose parts do not fit, or a device that is not there.
        """
        folder, device = Path(folder), _device(device)
        _check_folder(folder)
        hparams = Hparams.load(folder / "hyperparams.yaml")
        unknown = [name for name in (*PARTS, *SETTINGS) if name not in hparams]
        if unknown:
            raise UserError(f"{hparams.source}: has no '{unknown[0]}'; is this a result folder of SerenaNet?")
        hparams.set("brain", None)  # training, and all that it imports, is not needed here
        built = hparams.build()
        units = load_units(folder / "save" / "units")
        if units.size != built["n_units"]:
            raise UserError(f"{folder}: the model has {built['n_units']} units, but save/units holds {units.size}")
        modules = nn.ModuleDict({name: built[name] for name in PARTS})
        _load_weights(modules, folder / "weights.safetensors")
        more = ATTENTION_SETTINGS if hasattr(built["model"], "attention") else ()
        settings = {name: built[name] for name in (*SETTINGS, *more)}
        return cls(folder, modules, units, {**settings, "decoding": _tuned_weights(folder)}, device)

    @property
    def phonemic(self):
        """Whether the model's units are phonemes."""
        return self.units.kind == "phoneme"

    def transcribe(self, sources, batch_seconds=120.0, lm=None, progress=False):
        """Texts of audio of any length.

        Decoding is greedy; with phoneme units it is a search over the training words, where the folder holds
        their spellings, else the text is phones. A language model makes it a beam search. A model with a label decoder
        always searches, jointly with CTC, and its phones stay phones.

        Parameters
        ----------
        sources : iterable of str, Path or numpy.ndarray
            Audio files of any rate, channel count and format, or samples (N,), float between -1 and 1, at 16 kHz.
        batch_seconds : float
            Most seconds of padded audio that the network reads at a time.
        lm : path or "auto", optional
            A word n-gram model (ARPA), or for a model with a label decoder the result folder of a neural one; "auto"
            is what the run was evaluated with, the neural one first.
        progress : bool
            Whether to show a bar.

        Returns
        -------
        list of str
            One per source, in order; "" where nothing was heard.

        Raises
        ------
        UserError
            For the first source that gives no usable audio, and for a language model that cannot be used.
        """
        texts = []
        for text in self.transcripts(sources, batch_seconds, lm, progress):
            if isinstance(text, UserError):
                raise text
            texts.append(text)
        return texts

    def transcripts(self, sources, batch_seconds=120.0, lm=None, progress=False):
        """Yield for each source, in order, its text or the `UserError` that says what is wrong with it.

        Parameters are those of `transcribe`.
        """
        if not batch_seconds > 0:
            raise UserError(f"batch_seconds is {batch_seconds}; give a number of seconds above 0")
        decode, gap = self._decoder(lm)
        with tqdm(total=0, desc="transcribing", unit="s", unit_scale=True, disable=not progress) as bar:
            for window in _windows(sources, WINDOW * batch_seconds):
                pieces = [(at, piece) for at, audio in enumerate(window) for piece in _pieces(audio)]
                bar.total += sum(len(piece) for _, piece in pieces) / SAMPLE_RATE
                texts = self._decode_pieces([piece for _, piece in pieces], batch_seconds, decode, bar)
                heard = defaultdict(list)
                for (at, _), text in zip(pieces, texts, strict=True):
                    heard[at] += [text] if text else []
                for at, audio in enumerate(window):
                    yield audio if isinstance(audio, UserError) else gap.join(heard[at])

    def _decode_pieces(self, pieces, batch_seconds, decode, bar):
        """Texts of pieces of audio, which are batched by their length."""
        texts = [""] * len(pieces)
        durations = [len(piece) / SAMPLE_RATE for piece in pieces]
        for plan in BatchSampler(durations, batch_seconds, shuffle=False):
            decoded = decode(self._output([pieces[i] for i in plan.indices]))
            for i, text in zip(plan.indices, decoded, strict=True):
                texts[i] = text
            bar.update(sum(durations[i] for i in plan.indices))
        return texts

    @torch.inference_mode()
    def _output(self, pieces):
        """The model's `CTCOutput` for pieces of audio."""
        wavs = nn.utils.rnn.pad_sequence([torch.from_numpy(piece) for piece in pieces], batch_first=True)  # (B, S)
        lengths = torch.tensor([len(piece) for piece in pieces])
        features = self.modules["features"](wavs.to(self.device), lengths.to(self.device))
        return self.modules["model"](*features)

    # --- decoding -------------------------------------------------------------------------------------------------

    def _decoder(self, lm):
        """From a `CTCOutput` to texts; and what stands between the texts of two pieces."""
        if hasattr(self.modules["model"], "attention"):
            return self._attention_decoder(lm), " | " if self.phonemic else " "
        lexicon = self._lexicon() if self.phonemic else None
        if lm is None and lexicon is None:
            return self._greedy, " | " if self.phonemic else " "
        options = {"lexicon": lexicon, "beam_size": self.settings["beam_size"] or BeamDecoder.beam_size}
        if lm is not None:
            if self.phonemic and lexicon is None:
                raise UserError(f"{self.folder}: save/lexicon.tsv is missing, which a language model of words needs")
            options |= {"lm": self._lm_path(lm), **self.settings["decoding"]}
        beam = BeamDecoder(self.units, **options)
        return lambda output: [h.text for h in beam(self._log_probs(output), output.lengths.cpu())], " "

    def _attention_decoder(self, lm):
        """From a `CTCOutput` to texts by the label decoder jointly with CTC."""
        s, options, way = self.settings, {}, "attention/beam"
        neural = s["neural_lm"] if lm == "auto" else lm
        if neural is not None and Path(neural).is_dir():
            options["label_lm"], way = NeuralLMRun(neural).model(self.units).to(self.device), f"{way}+neural-lm"
        elif lm is not None:
            if self.phonemic:
                raise UserError(f"{self.folder}: the units are phonemes, which a language model of words cannot score")
            options["ngram"], way = self._lm_path(lm), f"{way}+lm"
        options |= {**s["decoding"].get("attention/beam", {}), **s["decoding"].get(way, {})}
        beam = AttentionBeam(
            self.modules["model"].attention,
            self.units,
            s["attention_beam_size"] or AttentionBeam.beam_size,
            length_normalisation=s["length_normalisation"],
            **options,
        )
        return lambda output: [h.text for h in beam(output.hidden, self._log_probs(output), output.lengths)]

    def _log_probs(self, output):
        return output.log_probs(self.settings["scoring"])

    def _greedy(self, output):
        return [self.units.decode(units) for units in greedy(self._log_probs(output), output.lengths)]

    def _lm_path(self, lm):
        if lm != "auto":
            return Path(lm)
        trained_with = self.settings["lm"]
        path = self.folder / "save" / "lm.arpa" if trained_with == "auto" else trained_with
        if path is None or not Path(path).is_file():
            raise UserError(f"{self.folder}: holds no language model; make one with `serenanet lm` and name its file")
        return Path(path)

    def _lexicon(self):
        """The training words and their spellings, or None where the folder lacks them."""
        path = self.folder / "save" / "lexicon.tsv"
        if not path.is_file():
            return None
        spellings = defaultdict(list)
        for line in path.read_text(encoding="utf-8").splitlines():
            word, _, phones = line.partition("\t")
            spellings[word].append(self.units.encode(phones))
        return Lexicon(spellings)


# --- opening a folder -------------------------------------------------------------------------------------------------


def _device(name):
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"device {name}: is not a device; give cpu, cuda or cuda:0") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"device {name}: this machine has no usable GPU; give cpu")
    return device


def _check_folder(folder):
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder; give results/<dataset>/<experiment>/<seed> of a run")
    if (folder / "save/clusters.safetensors").is_file() and not (folder / "save/units").is_dir():
        raise UserError(
            f"{folder}: is the result of a pre-training, which is no recogniser yet; train one from it with "
            f"--pretrained {folder}"
        )
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"{folder}: {missing[0]} is missing; give results/<dataset>/<experiment>/<seed> of a finished run"
        )


def _load_weights(modules, path):
    try:
        modules.load_state_dict(load_file(path))
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: cannot be read as weights ({error})") from None
    except RuntimeError:
        raise UserError(f"{path}: does not fit the model in hyperparams.yaml beside it") from None


def _tuned_weights(folder):
    """What dev chose for decoding with language models; {} where the run used none."""
    path = folder / "result.json"
    if not path.is_file():
        return {}
    try:
        decoding = json.loads(path.read_text(encoding="utf-8")).get("decoding", {})
        return {name: w for name, w in decoding.items() if name in WEIGHTS or name.startswith("attention/")}
    except ValueError as error:
        raise UserError(f"{path}: is not valid JSON ({error})") from None


# --- audio ------------------------------------------------------------------------------------------------------------


def _windows(sources, seconds):
    """Load sources a few at a time: lists of samples or the error that stands for them."""
    window, held = [], 0.0
    for source in sources:
        try:
            window.append(_samples(source))
            held += len(window[-1]) / SAMPLE_RATE
        except UserError as error:
            window.append(error)
        if held >= seconds:
            yield window
            window, held = [], 0.0
    if window:
        yield window


def _samples(source):
    if isinstance(source, (str, Path)):
        return load(source)
    samples = np.asarray(source)
    if samples.ndim != 1 or not len(samples) or not np.issubdtype(samples.dtype, np.floating):
        shape = f"{samples.dtype} of shape {samples.shape}"
        raise UserError(f"an array of {shape}: give one channel of float samples between -1 and 1, at 16 kHz")
    if not np.isfinite(samples).all():
        raise UserError("an array of samples: some are infinite or not a number")
    return np.ascontiguousarray(samples, dtype=np.float32)


def _pieces(audio):
    return () if isinstance(audio, UserError) else segment(audio)
