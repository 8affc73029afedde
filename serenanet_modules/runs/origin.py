"""A finished model that another run starts from: a result folder, or one of others' making, here or on the hub."""

import json
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from serenanet_modules.config.foreign import Document
from serenanet_modules.data.units import Units, load_units
from serenanet_modules.errors import UserError
from serenanet_modules.runs import hub, parakeet, speechbrain, whisper
from serenanet_modules.runs.clusters import CLUSTERS, describe_clusters
from serenanet_modules.runs.nearby import meant
from serenanet_modules.runs.whole import FILE as SUMS
from serenanet_modules.runs.whole import check_files, read_weights
from serenanet_modules.runtime import distributed
from serenanet_modules.runtime.files import read_json

ACOUSTIC = "acoustic."  # begins the names of an acoustic model's weights
NEEDED = ("hyperparams.yaml", "weights.safetensors", "result.json")
UNITS = "save/units/units.json"
MORE = (UNITS, "save/units/units.model", "save/units/tokenizer.json", f"save/{CLUSTERS}")  # that a folder may have


@dataclass(frozen=True)
class Origin:
    """What is known of the model.

    Attributes
    ----------
    name : str
        As it was asked for.
    tensors : dict of str to Tensor
        Weights and statistics of features, by the names that our models have for them.
    about : dict
        Where it is from and how it was made, for result.json.
    hparams : Document or None
        None of SpeechBrain's.
    units : Units or None
    clusters : Path or None
        Of its masked prediction.
    iteration : int
        Of that; a model without one counts as a first.
    features : dict or None
        Of SpeechBrain's: arguments of an `AbsoluteLogMel` that gives them.
    options : str
        What makes a model fit, where that is known.
    """

    name: str
    tensors: dict[str, Tensor]
    about: dict
    hparams: Document | None = None
    units: Units | None = None
    clusters: Path | None = None
    iteration: int = 1
    features: dict | None = None
    options: str = ""


def open_origin(source):
    """Open what the hyper-parameter ``pretrained`` names.

    Parameters
    ----------
    source : str
        A folder, a ``.nemo`` file; or a name on the hub, ``owner/name`` or ``owner/name@revision``.

    Returns
    -------
    Origin

    Raises
    ------
    UserError
        For what is not there, and a folder that no run can start from.
    """
    source = str(source)
    name, _, asked = (source, "", "") if Path(source).exists() else source.partition("@")
    folder, revision = distributed.main_first(lambda: _local(name, asked or None))
    about = {"folder": name} if revision is None else {"folder": name, "revision": revision}
    if parakeet.is_one(folder):
        found = parakeet.ParakeetSource(folder)
        return Origin(source, found.tensors, about, options=_options(found.overrides))
    if whisper.is_one(folder):
        found = whisper.WhisperSource(folder)
        return Origin(source, found.weights(), about, units=found.units)
    if speechbrain.is_one(folder):
        return Origin(source, speechbrain.tensors(folder), about, features=speechbrain.features(folder))
    return _of_run(folder, source, about)


def _local(name, revision):
    if parakeet.is_one(name):
        return Path(name), None
    return hub.local(
        name, [*NEEDED, *MORE, SUMS, *speechbrain.FILES, *parakeet.FILES, *whisper.FILES], "pretrained", revision
    )


def _options(overrides):
    given = (f"--{key} {json.dumps(value, separators=(',', ':'))}" for key, value in overrides.items())
    return "hparams/fast_conformer.yaml " + " ".join(given)


def _of_run(folder, source, about):
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if missing:
        advice = meant(folder, NEEDED) or "give results/<dataset>/<experiment>/<seed>"
        raise UserError(
            f"pretrained: {source} is not the result folder of a finished run ({missing[0]} is missing); {advice}"
        )
    hparams = Document.of_run(folder)
    check_files(folder, *NEEDED, *MORE)
    tensors = {name.removeprefix("model."): t for name, t in read_weights(folder / "weights.safetensors").items()}
    if not any(name.startswith(ACOUSTIC) for name in tensors):
        raise UserError(f"pretrained: {source} is the result folder of a model without speech input")
    units = load_units(folder / "save/units") if (folder / UNITS).is_file() else None
    clusters = folder / f"save/{CLUSTERS}"
    clusters = clusters if clusters.is_file() else None
    iteration = 1 if clusters is None else describe_clusters(clusters)["iteration"]
    about = about | _told(folder / "result.json", units, clusters and iteration)
    return Origin(source, tensors, about, hparams, units, clusters, iteration)


def _told(path, units, iteration):
    """What is worth knowing of a run in those that start from it."""
    try:
        result = read_json(path)
        told = {key: result[key] for key in ("experiment", "commit", "epochs")}
        told |= {"hours": result["data"]["splits"]["train"]["hours"], "locales": result["data"]["locales"]}
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is damaged ({error}); copy the whole folder again") from None
    except (KeyError, TypeError):
        raise UserError(f"{path}: is damaged; copy the whole folder again") from None
    told |= {} if units is None else {"units": {"kind": units.kind, "size": units.size}}
    return told | ({"iteration": iteration} if iteration else {})
