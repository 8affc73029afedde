"""The public parts that a training starts from: what their folders say becomes part of the hyper-parameters."""

import os
import shutil

import torch

from serenanet_modules.config.foreign import FILE
from serenanet_modules.config.hparams import Hparams
from serenanet_modules.data.tokens import FILE as TOKENIZER
from serenanet_modules.errors import UserError
from serenanet_modules.runs.public_parts import KINDS, public_parts, referring, take_weights, tensors_of
from serenanet_modules.runtime import distributed
from serenanet_modules.runtime.files import replacing

FOLLOW = ("source", "config", "revision", "sha256", "prompt")


def settled(hparams, folder):
    """What follows from the sources of public parts, such as ``config``, ``revision`` and ``sha256``.

    Parameters
    ----------
    hparams : Hparams
    folder : Path
        The result folder: a run that goes on needs no source any more.

    Returns
    -------
    dict
        Arguments of the parts by key, {} where there is no such part.

    Raises
    ------
    UserError
        Where no source is named, and for one that cannot be used.
    """
    found, file = {}, folder / FILE
    for kind in KINDS:
        given = hparams.part(kind.key, kind.name)
        if given is None:
            continue
        if given.get("source") is None:
            raise UserError(
                f"{hparams.source}: give the {kind.words} with --{kind.key}.source FOLDER or a name on the hub"
            )
        kept = Hparams.load(file).part(kind.key, kind.name) if file.is_file() else None
        found[kind.key] = _kept(kind, given, kept) or kind.source(given).told(*(given[name] for name in kind.follows))
    return found


def _kept(kind, given, kept):
    """What an earlier run has found of the same source, in the folder or as the file says; None for another one."""
    if given.get("config") is not None and given.get("sha256") is not None:
        return {name: given[name] for name in FOLLOW if name in given}
    asked = str(given["source"])
    same = kept is not None and kept["source"] in (asked, os.path.abspath(asked))
    if same and all(kept[name] == given[name] for name in (*kind.asks, *kind.follows)):
        return {name: kept[name] for name in FOLLOW if name in kept}
    return None


def begin_from_source(model, plain, where, given=None):
    """Let the public parts of a model take the weights of their sources.

    Parameters
    ----------
    model : Module
        Whose frozen parts are frozen.
    plain : dict
    where : Path
        The file that errors name.
    given : dict of str to Tensor, optional
        What the model is going to get from a finished model: parts that get all of theirs, and are copied, need no
        source.

    Raises
    ------
    UserError
        For a source that is gone or another one, and for a reference to weights that this training changes, or that the
        finished model has changed.
    """
    given = given or {}
    for kind, part in public_parts(model):
        own = set(part.own().values())
        changes = any(p.requires_grad for name, p in part.named_parameters() if name in own)
        if kind.key == "encoder":
            changes = changes or plain["unfreeze_after"] or plain["lora"]["r"]
        if part.keep == "reference" and changes:
            raise UserError(
                f"{where}: 'keep_{kind.key}' is reference, which needs frozen weights; set it to copy, or 'freeze' to "
                f"[{kind.place}]"
            )
        if part.keep == "reference" or not all(name in given for name in tensors_of(kind, part)):
            take_weights(part)
        if part.keep == "reference":
            _check_reference(kind, part, plain, where, given)


def _check_reference(kind, part, plain, where, given):
    """Refuse to refer to a source whose weights are not those that the model is going to get."""
    own = {f"{kind.place}.{name}": tensor for name, tensor in part.state_dict().items()}
    for name in given.keys() & set(tensors_of(kind, part)):
        if not torch.equal(own[name], given[name].to(own[name])):
            raise UserError(
                f"{where}: the {kind.words} in {plain['pretrained']} has other weights than {part.source}, to which "
                f"the result folder would refer; set 'keep_{kind.key}' to copy"
            )


def take_referenced(model, folder):
    """Let the parts that a result folder refers to take their weights, as a run goes on in it."""
    for _, part in referring(model):
        take_weights(part, folder)


def keep_tokenizer(llm, save):
    """Copy a language model's tokenizer into a run's own folder, where it is not there yet."""
    kind = next(kind for kind in KINDS if isinstance(llm, kind.part))
    file = save / TOKENIZER

    def copy():
        if not file.is_file():
            with replacing(file) as path:
                shutil.copyfile(kind.source(vars(llm)).path / TOKENIZER, path)

    distributed.main_first(copy)
