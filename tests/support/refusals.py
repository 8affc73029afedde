"""What every refusal of bad input is: a `UserError` of one sentence that names the culprit."""

import pytest

from serenanet_modules.errors import UserError


def refusal(call, *culprits):
    """The sentence with which ``call()`` refuses, which must hold the names of the culprits."""
    with pytest.raises(UserError) as caught:
        call()
    return sentence(caught.value, *culprits)


def sentence(error, *culprits):
    """The text of a refusal that is one: a line, not a dump, with the names of the culprits."""
    said = str(error)
    assert said and "\n" not in said and len(said) < 10_000 and "Traceback" not in said
    for culprit in culprits:
        assert str(culprit) in said, said
    return said


def refused_or(call, *culprits):
    """What ``call()`` gives, or None where it refuses properly."""
    try:
        return call()
    except UserError as error:
        sentence(error, *culprits)
        return None
