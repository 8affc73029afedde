"""Turkish."""

from serenanet_modules.data.text import default

DOTS = str.maketrans("İI", "iı")


def normalise(text: str) -> str:
    """Follow the default rule, with Turkish small letters: I is ı, and İ is i.

    Examples
    --------
    >>> normalise("IŞIK, İzmir'de!")
    "ışık izmir'de"
    """
    return default.normalise(text.replace("I\u0307", "İ").translate(DOTS))
