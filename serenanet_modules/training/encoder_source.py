"""The public encoder that a training starts from: what its folder says becomes part of the hyper-parameters."""

import os

from serenanet_modules.config.foreign import FILE
from serenanet_modules.config.hparams import Hparams
from serenanet_modules.errors import UserError
from serenanet_modules.runs.public_encoder import CLASS, PART, EncoderFolder, encoder_of, take_weights

FOLLOW = ("source", "config", "revision", "sha256")


def settled(hparams, folder):
    """What follows from a `PublicEncoder`'s source: its ``config``, ``revision`` and ``sha256``, and where it is.

    Parameters
    ----------
    hparams : Hparams
    folder : Path
        The result folder: a run that goes on needs no source any more.

    Returns
    -------
    dict
        Arguments of the part by key, {} where there is no such part.

    Raises
    ------
    UserError
        Where no source is named, and for one that cannot be used.
    """
    given = hparams.part(PART, CLASS)
    if given is None:
        return {}
    if given.get("source") is None:
        raise UserError(f"{hparams.source}: give the public encoder with --encoder.source FOLDER or a name on the hub")
    asked, file = str(given["source"]), folder / FILE
    kept = Hparams.load(file).part(PART, CLASS) if file.is_file() else None
    if kept is not None and kept["source"] in (asked, os.path.abspath(asked)) and kept["language"] == given["language"]:
        return {PART: {key: kept[key] for key in FOLLOW}}
    found = EncoderFolder(asked, given["revision"], given["language"])
    values = (found.source, found.arguments(), found.revision, found.sha256)
    return {PART: dict(zip(FOLLOW, values, strict=True))}


def begin_from_source(model, plain, where):
    """Let the public encoder of a model, if it has one, take the weights of its source.

    Parameters
    ----------
    model : Module
        Whose frozen parts are frozen.
    plain : dict
    where : Path
        The file that errors name.

    Raises
    ------
    UserError
        For a source that is gone or another one, and for a reference to weights that this training changes.
    """
    encoder = encoder_of(model)
    if encoder is None:
        return
    changes = plain["unfreeze_after"] or plain["lora"]["r"] or any(p.requires_grad for p in encoder.parameters())
    if encoder.keep == "reference" and changes:
        raise UserError(
            f"{where}: 'keep_encoder' reference is for an encoder that keeps its weights; set it to copy, or 'freeze' "
            f"acoustic.{PART}"
        )
    take_weights(encoder)
