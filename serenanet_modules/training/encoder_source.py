"""The public encoder that a training starts from: what its folder says becomes part of the hyper-parameters."""

from serenanet_modules.config.foreign import FILE
from serenanet_modules.config.hparams import Hparams
from serenanet_modules.errors import UserError
from serenanet_modules.lobes.pretrained import PublicEncoder
from serenanet_modules.runs.public_encoder import EncoderFolder, take_weights

PART, CLASS = "encoder", "serenanet_modules.lobes.pretrained.PublicEncoder"
NAMED, FOLLOW = ("source", "language"), ("config", "revision", "sha256")


def settled(hparams, folder):
    """A `PublicEncoder`'s ``config``, ``revision`` and ``sha256``, of its source or of the run's own folder.

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
    file = folder / FILE
    kept = Hparams.load(file).part(PART, CLASS) if file.is_file() else None
    if kept is not None and all(kept.get(key) == given.get(key) for key in NAMED):
        found = {key: kept[key] for key in FOLLOW}
    else:
        source = EncoderFolder(str(given["source"]), given.get("revision"), given.get("language"))
        found = {"config": source.arguments(), "revision": source.revision, "sha256": source.sha256}
    return {PART: found}


def begin_from_source(acoustic):
    """Let a public encoder in an acoustic model take the weights of its source."""
    for part in acoustic.children():
        if isinstance(part, PublicEncoder):
            take_weights(part)
