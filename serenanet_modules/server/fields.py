"""Names that clients give: of form fields and of parameters of an address."""

import difflib

from serenanet_modules.server.errors import APIError


def check_names(given, known, what):
    """Refuse a name that is unknown, or that is there twice though it can have one value.

    Parameters
    ----------
    given : ImmutableMultiDict
        What the client sent.
    known : collection of str
        One that ends in ``[]`` may be there several times; and so where it is written without the brackets, too.
    what : str
        Such as "the form's field".

    Raises
    ------
    APIError
        400, which names it.
    """
    several = {spelling for name in known if name.endswith("[]") for spelling in (name, name.removesuffix("[]"))}
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known) or 'none'}"
            raise APIError(400, f"{what} {name[:100]!r} is unknown; {hint}", name[:100], "unknown_parameter")
        if len(given.getlist(name)) > 1 and name not in several:
            raise APIError(400, f"{what} {name!r} is there more than once", name, "invalid_value")
