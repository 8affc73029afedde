"""The public parts of a model: which it has, where their weights are, and what a result folder lacks of them."""

from pathlib import Path
from typing import Any, NamedTuple

from serenanet_modules.config.foreign import FILE
from serenanet_modules.config.hparams import Hparams
from serenanet_modules.errors import UserError
from serenanet_modules.lobes.pretrained import CausalLM, PublicEncoder
from serenanet_modules.runs import hub, public_encoder, public_lm


class Kind(NamedTuple):
    """A kind of public part.

    Attributes
    ----------
    key, name : str
        Of the hyper-parameters, and the class that stands there. A result folder may have a folder of the key's name,
        in which who moved the source puts it.
    place : str
        Of the part in a model.
    part, folder : type
        Its class, and that of its folder.
    words : str
        What people call it.
    asks : tuple of str
        Of its arguments, what its folder is opened with beside source and revision.
    follows : tuple of str
        What `folder.told` is given.
    """

    key: str
    name: str
    place: str
    part: Any
    folder: Any
    words: str
    asks: tuple = ()
    follows: tuple = ()

    def source(self, told, beside=None):
        """The folder of a part's arguments; ``beside`` is that of a result, in which it may lie."""
        more = [told[name] for name in self.asks]
        near = None if beside is None else Path(beside) / self.key
        if near is not None and near.is_dir():
            return self.folder(str(near), None, *more)
        try:
            return self.folder(told["source"], told["revision"], *more)
        except UserError as error:
            hint = "" if near is None else f"; a copy of it may lie in {near}"
            raise UserError(f"{error}{hint}") from None


KINDS = (
    Kind(
        *(public_encoder.PART, public_encoder.CLASS, "acoustic.encoder"),
        *(PublicEncoder, public_encoder.EncoderFolder, "public encoder", ("language",)),
    ),
    Kind(
        *(public_lm.PART, public_lm.CLASS, "llm", CausalLM, public_lm.LanguageModelFolder, "language model"),
        follows=("instruction", "chat"),
    ),
)


def public_parts(model):
    """(`Kind`, part) of each public part that a model has."""
    found = []
    for kind in KINDS:
        part = model
        for name in kind.place.split("."):
            part = getattr(part, name, None)
        if isinstance(part, kind.part):
            found.append((kind, part))
    return found


def take_weights(part, folder=None):
    """Load a public part from the source that it names.

    Parameters
    ----------
    part : PublicEncoder or CausalLM
    folder : Path, optional
        A result folder, in which the source may lie.

    Raises
    ------
    UserError
        Where that is not there any more, or holds other weights.
    """
    kind = next(kind for kind in KINDS if isinstance(part, kind.part))
    source = kind.source(vars(part), folder)
    if part.sha256 is not None and source.sha256 != part.sha256:
        raise UserError(
            f"{kind.key}.source: the weights in {source.path} are not those of this run (their SHA-256 is "
            f"{source.sha256}, not {part.sha256}); give the same ones"
        )
    try:
        part.load(source.tensors())
    except ValueError as error:
        raise UserError(f"{kind.key}.source: {source.path} cannot be used: {error}") from None


def referring(model):
    """The public parts whose weights a result folder lacks, because it says where they are from."""
    return [(kind, part) for kind, part in public_parts(model) if part.keep == "reference"]


def referenced(model):
    """Names of a model's tensors that a result folder lacks."""
    return frozenset(name for kind, part in referring(model) for name in tensors_of(kind, part))


def tensors_of(kind, part):
    """Names of the tensors of a model that are a source's."""
    return [f"{kind.place}.{name}" for name in part.own().values()]


def referred_by(document, model):
    """(`Kind`, part, arguments there) of each public part of a model that the result folder of a document refers to."""
    found = [] if document is None else public_parts(model)
    told = [(kind, part, document.arguments(kind.key, kind.name)) for kind, part in found]
    return [(kind, part, there) for kind, part, there in told if there.get("keep") == "reference"]


def sources(folder):
    """Where the public parts of a result folder's model are from, for its result.json and model card.

    Parameters
    ----------
    folder : Path
        Of a run of this machine, which may have classes of its own.

    Returns
    -------
    list of dict
        ``part``, in words; ``source``, a name on the hub or that of a folder; of the hub's ``revision``; ``sha256``.
    """
    hparams = Hparams.load(folder / FILE)
    told = [(kind, hparams.part(kind.key, kind.name)) for kind in KINDS]
    return [{"part": kind.words, **_source(there)} for kind, there in told if there]


def _source(told):
    name, revision = told["source"], told.get("revision")
    if revision is None:
        name, revision = hub.known_as(name)
    known = {"source": Path(told["source"]).name} if revision is None else {"source": name, "revision": revision}
    return {**known, "sha256": told["sha256"]}


def weight_files(document, weights):
    """All files of the weights of a result folder's model: its own, and those that it refers to.

    Parameters
    ----------
    document : Document
    weights : Path
        Its own.
    """
    found = [weights]
    for kind in KINDS:
        told = document.arguments(kind.key, kind.name)
        if told.get("keep") == "reference":
            found += kind.source(told, weights.parent).files
    return found
