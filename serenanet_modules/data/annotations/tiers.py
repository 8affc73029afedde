"""Which tiers of an annotated recording are what is said in it."""

import re

from serenanet_modules.data.annotations.model import SPEECH
from serenanet_modules.errors import UserError

SHOWN = 8  # tiers that a refusal names


def chosen(document, asked=None, empty=False):
    """The tiers that are meant.

    Parameters
    ----------
    document : Document
    asked : str, optional
        A tier's name, or else a type of tiers, or else a participant; or else one of these but for case and white
        space around it; or else a regular expression that a whole name matches. What fits one of these is not looked
        for among the others. By default the tiers that lie in no other, if there is one, or if they are of one type and
        of a speaker each; tiers without a letter, such as those of numbers of sentences, and tiers
        of points in time do not count.
    empty : bool
        Whether tiers count in which nothing is written yet.

    Returns
    -------
    list of Tier
        Empty where the document has none that is asked for.

    Raises
    ------
    UserError
        Where nobody asked and several tiers could be meant, or none.
    """
    full = [tier for tier in document.tiers if any(empty or a.text.strip() for a in tier.annotations)]
    if asked is not None:
        return next(filter(None, _ways(full, asked)), [])
    top = [tier for tier in full if not tier.parent and (empty or _has_letters(tier)) and _takes_time(tier)]
    if len(top) == 1 or _of_speakers(top):
        return top
    if not full:
        return []
    raise UserError(f"{document.path}: which of its tiers is transcribed: {names(top or full)}? Say it with --tier.")


def _of_speakers(tiers):
    """Whether tiers are of one type and of a speaker each, or of a format in which all are what is said."""
    speakers, types = {tier.participant for tier in tiers}, {tier.type for tier in tiers}
    return types == {SPEECH} or (len(types) == 1 and "" not in speakers and len(speakers) == len(tiers))


def _takes_time(tier):
    """Not so a tier of points."""
    return any(a.start is None or a.timed for a in tier.annotations)


def _has_letters(tier):
    return any(letter.isalpha() for a in tier.annotations for letter in a.text)


def _ways(tiers, asked):
    """Yield the tiers that fit in each of the ways in which they can be asked for."""
    for alike in (str, _folded):
        for kind in ("name", "type", "participant"):
            yield [tier for tier in tiers if alike(getattr(tier, kind)) == alike(asked)]
    try:
        pattern = re.compile(asked)
    except re.error as error:
        raise UserError(f"--tier {asked}: is no tier's name, and as a regular expression it fails: {error}") from None
    yield [tier for tier in tiers if pattern.fullmatch(tier.name)]


def _folded(name):
    return name.strip().casefold()


def names(tiers):
    """A few tiers' names for a sentence."""
    shown = ", ".join(repr(n) if (n := f"{t.name:.40}") != n.strip() or not n else n for t in tiers[:SHOWN])
    return shown + (f" and {len(tiers) - SHOWN} more" if len(tiers) > SHOWN else "") if tiers else "none"
