"""What clients may ask of the texts: `Wishes` of their own, by the names of form fields and parameters."""

import re

from serenanet_modules.config.keys import truth
from serenanet_modules.errors import UserError
from serenanet_modules.inference.hotwords import WEIGHT, hotwords_of
from serenanet_modules.server.errors import APIError

FIELDS = {"hotwords": str, "hotword_weight": float, "nbest": int, "digits": truth}  # and what they are
MOST_HOTWORDS, MOST_WEIGHT, MOST_NBEST = 1000, 100.0, 100


def wishes(spelling, hotwords=None, hotword_weight=WEIGHT, nbest=1, digits=False):
    """The `Wishes` of a client, by name, where they are not the server's.

    Parameters
    ----------
    spelling : tuple
        As of `OpenRun`.
    hotwords : str, optional
        Words and phrases with commas or line ends between.
    hotword_weight : float
    nbest : int
    digits : bool

    Raises
    ------
    APIError
        400, which names the field.
    """
    if not 0 < hotword_weight <= MOST_WEIGHT:
        raise refused("hotword_weight", f"must be above 0, and {MOST_WEIGHT:g} at most")
    if not 1 <= nbest <= MOST_NBEST:
        raise refused("nbest", f"must be from 1 to {MOST_NBEST}")
    found = ({"nbest": nbest} if nbest > 1 else {}) | ({"digits": True} if digits else {})
    if hotwords is None:
        return found
    try:
        words = hotwords_of(re.split(r"[,\r\n]", hotwords), spelling, hotword_weight)
    except UserError as error:
        raise refused("hotwords", str(error).removeprefix("hotwords: ")) from None
    if len(words) > MOST_HOTWORDS:
        raise refused("hotwords", f"are {len(words)} words; {MOST_HOTWORDS} at most")
    return found | {"hotwords": tuple(sorted(words.items()))}


def refused(name, why):
    """The refusal of what a client gives a name."""
    return APIError(400, f"{name}: {why}", name, "invalid_value")
