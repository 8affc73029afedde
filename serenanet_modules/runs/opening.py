"""Opens a finished result folder, or a public Whisper's, for use: what it must hold, and what is refused."""

import math
from pathlib import Path

from torch import nn

from serenanet_modules.config.foreign import Document
from serenanet_modules.config.keys import MOST_BEAM
from serenanet_modules.data.segment import BOUNDS, piece_seconds
from serenanet_modules.data.units import load_units
from serenanet_modules.decoding.confidence import Calibration
from serenanet_modules.errors import UserError
from serenanet_modules.runs import hub, whisper
from serenanet_modules.runs.choice import LM, SPELLINGS
from serenanet_modules.runs.nearby import meant
from serenanet_modules.runs.public_parts import referenced, referring, take_weights, weight_files
from serenanet_modules.runs.recogniser import TOKENIZER, OpenRun
from serenanet_modules.runs.whole import FILE as SUMS
from serenanet_modules.runs.whole import check_files, read_weights
from serenanet_modules.runs.words import FILE as WORDS
from serenanet_modules.runs.words import read_words
from serenanet_modules.runtime.backend import usable_device
from serenanet_modules.runtime.files import read_json

NEEDED = ("hyperparams.yaml", "weights.safetensors", "save/units/units.json")
MORE = ("save/units/units.model", "save/units/tokenizer.json", SPELLINGS, WORDS)  # that a folder may have
MORE += ("result.json", TOKENIZER)
HUB = [*NEEDED, *MORE, LM, SUMS, "encoder/*", "llm/*", *whisper.FILES]  # which files are fetched from the hub
SETTINGS = ("scoring", "locale", "beam_size", "lm", "n_units")  # of every recogniser; a model has `settings` besides
STYLE = ("text_case", "punctuation", "marks")  # which a folder may have
WEIGHTS = ("ctc_weight", "lm_weight", "word_score")


def open_run(folder, device):
    """Open a finished result folder; parameters and errors as of `Recognizer.from_folder`."""
    folder, device = hub.finished(folder, HUB), usable_device(device)
    if whisper.is_one(folder):
        return _of_whisper(folder, device)
    _check_folder(folder)
    document, weights = Document.of_run(folder), folder / "weights.safetensors"
    check_files(folder, *NEEDED, *MORE)
    _check_keys(document, ("model", *SETTINGS), document.source)
    # training, and all that it imports, is not needed here
    files = weight_files(document, weights)
    built = document.only(("model", *SETTINGS, *STYLE)).build(*files)
    units = load_units(folder / "save" / "units")
    if units.size != built["n_units"]:
        raise UserError(f"{folder}: the model has {built['n_units']} units, but save/units holds {units.size}")
    modules = nn.ModuleDict({"model": built.pop("model")})
    load_weights(modules, weights)
    own = modules["model"].settings
    _check_keys(document, own, document.source)
    settings = built | document.only(own).build(*files) | _results(folder)
    _check_beams(settings, document.source)
    return OpenRun(folder, modules.to(device).eval(), units, settings, (weights,), _size(modules))


def _of_whisper(folder, device):
    """A Whisper as others have it: greedy, without anything that dev chose."""
    source = whisper.WhisperSource(folder, "RESULT_DIR")
    settings = {"scoring": "decoder", "locale": "en", "beam_size": 0, "lm": None, "n_units": source.units.size}
    settings |= {"attention_beam_size": 1, "length_normalisation": True, "neural_lm": None}
    settings |= {"decoding": {}, "confidence": {}, "piece_seconds": BOUNDS[1]}
    modules = nn.ModuleDict({"model": source.model()}).to(device).eval()
    return OpenRun(folder, modules, source.units, settings, tuple(source.files), _size(modules))


def _size(modules):
    return sum(parameter.numel() for parameter in modules.parameters())


def load_weights(modules, path):
    """Load ``model`` from weights.safetensors, and from where the public parts are that the folder refers to."""
    weights, model = read_weights(path), modules.state_dict()
    if other := [name for name in weights if name in model and _kind(weights[name]) != _kind(model[name])]:
        raise UserError(
            f"{path}: {other[0]} holds {_kind(weights[other[0]])}, and the model {_kind(model[other[0]])}; copy the "
            "whole folder again"
        )
    try:
        elsewhere = referenced(modules["model"])
        for _, part in referring(modules["model"]):
            take_weights(part, Path(path).parent)
        missing, unexpected = modules.load_state_dict(weights, strict=False)
        if unexpected or {name.removeprefix("model.") for name in missing} != elsewhere:
            raise RuntimeError("other tensors")
    except RuntimeError:
        raise UserError(
            f"{path}: does not fit the model in hyperparams.yaml beside it; copy the whole folder again"
        ) from None


def _kind(tensor):
    return "real numbers" if tensor.is_floating_point() else "whole numbers"


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
        advice = meant(folder, NEEDED) or "give results/<dataset>/<experiment>/<seed> of a finished run"
        raise UserError(f"{folder}: {missing[0]} is missing; {advice}")


def _check_keys(found, names, where):
    missing = [name for name in names if name not in found]
    if missing:
        raise UserError(f"{where}: has no '{missing[0]}'; is this a result folder of SerenaNet, and of this version?")


def _check_beams(settings, where):
    """Refuse beams that no memory holds."""
    for name in ("beam_size", "attention_beam_size"):
        size = settings.get(name)
        if size is not None and not (type(size) is int and 0 <= size <= MOST_BEAM):
            raise UserError(f"{where}: '{name}' is {size!r}; give a whole number from 0 to {MOST_BEAM}")


def _results(folder):
    """What the training says of use: the last three of `OpenRun.settings`; numbers only."""
    path, result = folder / "result.json", {}
    if path.is_file():
        try:
            result = read_json(path)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}: is not valid JSON ({error})") from None
    try:
        decoding = result.get("decoding", {})
        ways = {name: _numbers(found) for name, found in decoding.items() if "/" in name}
        usual = result.get("data", {}).get("splits", {}).get("train", {}).get("p99_seconds", BOUNDS[1])
        seconds = piece_seconds(usual if math.isfinite(usual) else BOUNDS[1])
        maps = _maps(folder, result.get("confidence", {}))
        return {"decoding": {**_numbers(decoding), **ways}, "confidence": maps, "piece_seconds": seconds}
    except (AttributeError, TypeError, ValueError, LookupError, OverflowError):
        raise UserError(f"{path}: is damaged; copy it again, or delete it: the folder opens without it") from None


def _maps(folder, measured):
    """The `Calibration` of each decoder that has one; one that weighs known words needs the file of them."""
    words, entries = read_words(folder), {name: entry for name, entry in measured.items() if "map" in entry}
    maps = {name: Calibration.from_plain(entry["map"], words or frozenset()) for name, entry in entries.items()}
    return {name: found for name, found in maps.items() if words is not None or "known" not in found.weights}


def _numbers(found):
    numbers = {name: found[name] for name in WEIGHTS if type(found.get(name)) in (int, float)}
    return {name: number for name, number in numbers.items() if math.isfinite(number)}
