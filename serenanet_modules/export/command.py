"""``serenanet export``: write a model, then show that the file is the model."""

import functools
import importlib.util
from pathlib import Path

import torch

from serenanet_modules.errors import UserError
from serenanet_modules.export.check import BATCHES, Eager, Speech, change_beside, differences
from serenanet_modules.export.network import Network, plain_operations
from serenanet_modules.export.sidecars import metadata, sidecars, write_sidecars
from serenanet_modules.runs.opening import open_run
from serenanet_modules.runtime.amounts import counted
from serenanet_modules.runtime.bars import Bar
from serenanet_modules.runtime.files import replacing
from serenanet_modules.runtime.outputs import Outputs

NAMES = {"onnx": "model.onnx", "torchscript": "model.pt", "sherpa": "model.sherpa.onnx", "step": "model.step.onnx"}
TOLERANCE = 1e-3  # of a log-probability
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
EXAMPLE = ((30000, 21234), 30000)  # samples of a batch to trace with
said = functools.partial(print, flush=True)  # at once, into pipes and files too


def export(folder, to, int8=False, out=None, check=None, say=said, outputs=None):
    """Export a result folder's network with its features, and compare the file with the model.

    Parameters
    ----------
    folder : str or Path
        A finished run's result folder.
    to : {"onnx", "torchscript", "sherpa"}
    int8 : bool
        Whether to write a second file with weights of 8 bits too, ``<name>.int8.onnx``.
    out : str or Path, optional
        The file to write, or a folder; by default ``export`` in the result folder.
    check : str or Path, optional
        A manifest whose error rates to measure by the model and by each file, greedily.
    say : callable
        Takes each line of the report as soon as it is known.
    outputs : Outputs, optional
        Says what may be written over; by default what an export has made.

    Returns
    -------
    list of Path
        The models written.

    Raises
    ------
    UserError
        For a folder that cannot be opened, options that do not fit, a model that the format cannot hold, and a file
        whose numbers are not the model's.
    """
    if int8 and to == "torchscript":
        raise UserError("--quantize int8 is for ONNX files here; leave it out, or export --to onnx")
    _check_packages(to)
    folder = Path(folder)
    opened = open_run(folder, "cpu")
    if opened.tokens is not None:
        raise UserError(
            f"{folder}: a speech LLM writes text token by token, which no exported file can; use it as it is"
        )
    if not opened.modules["model"].scorings:
        raise UserError(f"{folder}: has no CTC head, which an export needs; take another model")
    speech = None if check is None else Speech(Path(check), opened)
    path, outputs = _target(out, folder, to), outputs or Outputs("export", [folder])
    small = path.with_suffix(".int8.onnx")
    outputs.check(path, *sidecars(path), *((small, small.with_suffix(".json")) if int8 else ()))
    facts, eager = metadata(opened, folder), Eager(opened)
    runs = {}
    with replacing(path) as written, Bar(total=2, desc="writing", leave=False) as bar:
        _write(opened, to, written, facts)
        bar.update()
        bar.set_description("comparing")
        runs[path] = _open(to, written, opened)
        found = f"{path}: {_size(written)}, {_compared(runs[path], eager, path)}"
    say(found)
    outputs.made(path, *write_sidecars(path, opened.units, facts))
    if int8:
        runs[small] = _quantised(path, small, to, opened, say)
        outputs.made(small, *write_sidecars(small, opened.units, facts))
    if speech is not None:
        for line in speech.left_out:
            say(line)
        say(f"measuring on {counted(len(speech.texts), 'utterance')}, {1 + len(runs)} times")
        for run, name in ((eager, "the model"), *((run, file.name) for file, run in runs.items())):
            say(f"{'PER' if speech.level == 'phone' else 'WER'} % of {name}: {speech.errors(run, name)}")
    return list(runs)


def export_step(folder, look_ahead=None, out=None, say=said, outputs=None):
    """Export one step of a streaming encoder of chunks, and compare a stream through the file with the model.

    Parameters
    ----------
    folder, out, say, outputs
        As of `export`.
    look_ahead : int, optional
        Milliseconds, of those that the model has; by default its first.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    UserError
        As of `export`, and for a look-ahead that the model does not have.
    """
    _check_packages("onnx")
    from serenanet_modules.export import onnx_file, stream

    folder = Path(folder)
    opened = open_run(folder, "cpu")
    model, path = opened.modules["model"], _target(out, folder, "step")
    outputs = outputs or Outputs("export", [folder])
    outputs.check(path, *sidecars(path))
    step = stream.Step(model, look_ahead).eval()
    facts = metadata(opened, folder) | {"chunk_frames": step.chunk, "features": repr(model.acoustic.features)}
    with replacing(path) as written:
        with plain_operations():
            told = {name: str(value) for name, value in facts.items()}
            onnx_file.write(step, step.example(), step.outputs, written, told, fixed=True)
        largest = stream.difference(stream.Steps(written), model, look_ahead)
        if not largest <= TOLERANCE:
            raise UserError(f"{path}: is not written, as it differs from the model by {largest:.1e}")
        say(f"{path}: {_size(written)}, largest difference from the model {largest:.1e} (tolerance {TOLERANCE})")
    outputs.made(path, *write_sidecars(path, opened.units, facts))
    return path


def _check_packages(to):
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if to != "torchscript" and missing:
        raise UserError(f"ONNX needs the package {missing[0]}; pip install 'serenanet[export]'")


def _target(out, folder, to):
    """The file to write."""
    path = folder / "export" if out is None else Path(out)
    suffix = Path(NAMES[to]).suffix
    if path.suffix != suffix:
        if path.suffix in (".onnx", ".pt") or path.is_file():
            raise UserError(f"{path}: give a folder, or a file that ends in {suffix}")
        path = path / NAMES[to]
    return path


def _write(opened, to, path, facts):
    model = opened.modules["model"]
    network = Network(model, opened.settings["scoring"]).eval()
    lengths, total = EXAMPLE
    example = {"audio": 0.1 * torch.randn(len(lengths), total), "lengths": torch.tensor(lengths)}
    try:
        with plain_operations():
            if to == "torchscript":
                from serenanet_modules.export import torchscript

                torchscript.write(network, example, path, facts)
            else:
                _write_onnx(network, example, to, path, facts)
    except (RuntimeError, ValueError, NotImplementedError) as error:  # what tracers raise for a part of one's own
        parts = ", ".join(type(part).__name__ for part in (model.acoustic, *model.acoustic.children()))
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"a model of {parts} cannot be written --to {to}: {reason}") from error


def _write_onnx(network, example, to, path, facts):
    from serenanet_modules.export import onnx_file, sherpa

    outputs = ["log_probs", "frames"]
    if to == "sherpa":
        network, example, outputs = sherpa.ForSherpa(network), {"audio": example["audio"]}, outputs[:1]
    onnx_file.write(network, example, outputs, path, {name: str(value) for name, value in facts.items()})


def _open(to, path, opened):
    """The file as a function like `Eager`."""
    if to == "torchscript":
        from serenanet_modules.export.torchscript import ScriptFile

        return ScriptFile(path)
    from serenanet_modules.export.onnx_file import OnnxFile
    from serenanet_modules.export.sherpa import AsSherpa

    run = OnnxFile(path)
    return AsSherpa(run, opened.modules["model"]) if to == "sherpa" else run


def _compared(run, eager, path):
    """A sentence of how far a file is from the model.

    Raises
    ------
    UserError
        If it is too far.
    """
    largest, beside = differences(run, eager)[0], change_beside(run)
    if not largest <= TOLERANCE:
        raise UserError(f"{path}: is not written, as it differs from the model by {largest:.1e}, more than {TOLERANCE}")
    if not beside <= TOLERANCE:
        raise UserError(f"{path}: is not written, as other utterances in a batch change the output by {beside:.1e}")
    of_batches = f"largest difference from the model in {len(BATCHES)} batches {largest:.1e}"
    return f"{of_batches}, effect of other utterances in a batch {beside:.1e} (tolerance {TOLERANCE})"


def _quantised(path, small, to, opened, say):
    """Write and open the copy in 8 bits; its labels are compared, for its numbers must differ."""
    from serenanet_modules.export.int8 import quantise

    with replacing(small) as written:
        quantise(path, written)
        run = _open(to, written, opened)
        largest, same = differences(run, Eager(opened))
        if largest == float("inf"):
            raise UserError(f"{small}: is not written, as it gives other shapes, or infinite values")
        beside = change_beside(run)
        told = f"{100 * same:.1f} % of frames have the model's best label (on noise)"
        say(f"{small}: {_size(written)}, {told}, effect of other utterances in a batch {beside:.1e}")
    return run


def _size(path):
    return f"{path.stat().st_size / 1e6:.1f} MB"
