"""What the arguments of parts are where a file does not name them."""

import inspect

from ruamel.yaml.comments import CommentedMap

from serenanet_modules.config.foreign import NEW, located
from serenanet_modules.config.nodes import tag_of


def usual_arguments(node, path=()):
    """Values by dotted name that the classes of parts, at and below a node, have for their arguments by default.

    A class that has mappings among its arguments may say by ``usual(given)`` what is usual inside them, by dotted name.
    Of a class that is not here nothing is known.
    """
    given = node if isinstance(node, CommentedMap) else {}
    usual = _of_class(tag_of(node).removeprefix(NEW), given) if tag_of(node).startswith(NEW) else {}
    found = {".".join((*path, key)): value for key, value in usual.items()}
    for key, child in given.items():
        found |= usual_arguments(child, (*path, str(key)))
    return found


def _of_class(name, given):
    try:
        made = located(name)
    except ImportError:
        return {}
    parameters = inspect.signature(made).parameters.values()
    usual = {p.name: p.default for p in parameters if p.default is not p.empty}
    return usual | (made.usual(given) if hasattr(made, "usual") else {})
