"""A finished run that is no recogniser, measured on other data as its training measured it on its own."""

import tempfile
from pathlib import Path

from torch import nn

from serenanet_modules.config.foreign import FILE, Document, brain_named
from serenanet_modules.errors import UserError
from serenanet_modules.runs.opening import load_weights
from serenanet_modules.runs.public_parts import weight_files
from serenanet_modules.runs.whole import WEIGHTS, check_files
from serenanet_modules.runtime.backend import usable_device
from serenanet_modules.runtime.files import write_json

READ = (WEIGHTS, *(f"save/{name}" for name in ("units/units.json", "units/units.model")))
READ += ("save/clusters.safetensors", "save/aligner.safetensors")  # what a task may read of a folder


def task_of(folder):
    """The Brain class that a result folder names; None for what is no result folder, or names none.

    Raises
    ------
    UserError
        Where it names a class that it may not.
    """
    if not (Path(folder) / FILE).is_file():
        return None
    document = Document.of_run(folder)
    name = document.plain().get("brain")
    return brain_named(name, document.source) if isinstance(name, str) else None


def measure(folder, asked, device, out=None):
    """Measure a finished run on other data.

    Parameters
    ----------
    folder : str or Path
        The result folder.
    asked : dict
        The arguments of `data.asked.candidates`; of what reads text, ``data`` is a file of sentences.
    device : str
    out : Path, optional
        Where scores.json and what else the task writes go; by default nowhere.

    Returns
    -------
    str
        The table of measures, for people.

    Raises
    ------
    UserError
        For a folder or data that cannot be used.
    """
    folder, task, device = Path(folder), task_of(folder), usable_device(device)
    document, save, weights = Document.of_run(folder), folder / "save", folder / WEIGHTS
    check_files(folder, FILE, *READ)
    if not weights.is_file():
        raise UserError(f"{folder}: {WEIGHTS} is missing; give the result folder of a finished run")
    plain, built = document.plain(), document.build(*weight_files(document, weights))
    built["output_folder"] = str(folder)  # wherever it was trained
    load_weights(nn.ModuleDict(built["modules"]), weights)
    outputs = task.outputs(plain, document.source, save, None)
    with tempfile.TemporaryDirectory() as scratch:
        root, splits = task.reads.other(task, plain, save, dict(asked), Path(scratch))
        run_opts = {"device": str(device)}
        brain = task(built["modules"], None, built, run_opts, progress=None, sampler=None, **outputs.arguments)
        brain.ready(root, splits, None)
        measures = brain.evaluate_splits(root, splits, Path(out or scratch))
    if out:
        write_json(Path(out) / "scores.json", {"model": str(folder), "data": str(asked["data"]), **measures})
    return task.table(measures)
