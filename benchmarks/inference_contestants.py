"""What `inference.py` compares: SpeechBrain's `EncoderASR`, and each model in every form that runs it."""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from speechbrain.inference.ASR import EncoderASR
from torch import nn

from serenanet_modules.config.hparams import Hparams
from serenanet_modules.data.units import load_units, train_units
from serenanet_modules.decoding.greedy import collapse
from serenanet_modules.errors import UserError
from serenanet_modules.export.check import Eager
from serenanet_modules.export.command import NAMES, export
from serenanet_modules.runs.folder import for_use, write_hyperparams
from serenanet_modules.runs.opening import open_run
from serenanet_modules.runs.whole import seal

FORMS = ("eager", "compiled", "onnx", "int8")
BASE = "EncoderASR"
LETTERS = "abcdefghijklmnopqrstuvwxyz' "


def gather(options, work):
    """What runs, as plain data, the Conformer first; and [name, form, reason] of what cannot."""
    contestants, absent, names = [], [], {}
    for given in dict.fromkeys([options.conformer, *options.models]):
        trained = Path(given).suffix != ".yaml"
        folder = Path(given) if trained else untrained([Path(file) for file in given.split("+")], work)
        opened = open_run(folder, "cpu")
        name = Hparams.load(folder / "hyperparams.yaml").plain()["experiment"]
        names[given] = name if name not in names.values() else f"{name} {len(names) + 1}"
        parameters = sum(p.numel() for p in opened.modules["model"].parameters())
        about = {"model": names[given], "folder": str(folder), "trained": trained, "parameters": parameters}
        weights = folder / "weights.safetensors"
        if given == options.conformer:
            contestants.append(about | {"form": BASE, "file": str(weights), "bytes": weights.stat().st_size})
        if given in options.models:
            files = {form: weights for form in ("eager", "compiled")} | exported(folder, names[given], options, work)
            for form in options.forms:
                if isinstance(files[form], str):
                    absent.append([names[given], form, files[form]])
                else:
                    size = files[form].stat().st_size
                    contestants.append(about | {"form": form, "file": str(files[form]), "bytes": size})
    return contestants, absent


def untrained(files, work):
    """A result folder of random weights, with letters as units."""
    folder = work / "+".join(file.stem for file in files)
    units = train_units("char", [LETTERS], None, folder / "save" / "units")
    hparams = Hparams.load(files)
    hparams.override([(key, "none") for key in ("dataset", "locale", "data_folder")])
    hparams.set("n_units", units.size)
    write_hyperparams(folder, for_use(hparams))
    torch.manual_seed(0)
    model = Hparams.load(folder / "hyperparams.yaml").only(("model",)).build()["model"]
    save_file(nn.ModuleDict({"model": model}).state_dict(), folder / "weights.safetensors")
    seal(folder)
    return folder


def exported(folder, name, options, work):
    """The ONNX files by form, or the reason why there is none."""
    path = work / "onnx" / name / NAMES["onnx"]
    files = {"onnx": path, "int8": path.with_suffix(".int8.onnx")}
    reason = "not asked for"
    if wanted := set(files).intersection(options.forms):
        try:
            export(folder, "onnx", "int8" in wanted, path, say=lambda line: print(line, file=sys.stderr))
        except UserError as error:
            reason = str(error)
    return {form: file if file.is_file() else reason for form, file in files.items()}


def open_contestant(contestant):
    """A function of audio (B, S) float32 and lengths (B,) int64, arrays, that returns texts."""
    folder, form = contestant["folder"], contestant["form"]
    if form == BASE:
        asr = EncoderASR.from_hparams(source=folder)

        def transcribe(audio, lengths):
            return asr.transcribe_batch(torch.from_numpy(audio), torch.from_numpy(lengths / lengths.max()))[0]

        return transcribe
    if form in ("onnx", "int8"):
        from serenanet_modules.export.onnx_file import OnnxFile

        run, units = OnnxFile(contestant["file"]), load_units(Path(folder) / "save" / "units")
    else:
        opened = open_run(folder, "cpu")
        run, units = Eager(opened), opened.units
        if form == "compiled":
            opened.modules["model"].compile(dynamic=True)

    def transcribe(audio, lengths):
        paths = [y[:n].argmax(-1).tolist() for y, n in zip(*run(audio, lengths), strict=True)]
        return [units.decode(collapse(path, units.blank_id)[0]) for path in paths]

    return transcribe
