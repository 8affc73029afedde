"""A layer merged into what stands below it: what a key may become, and what is refused."""

import difflib

from ruamel.yaml.comments import CommentedMap, CommentedSeq

from serenanet_modules.config.keys import ARGUMENTS, KEYS, NUMBER, SWITCH
from serenanet_modules.config.nodes import tag_of
from serenanet_modules.errors import UserError

PLAIN = {NUMBER: 0.0, SWITCH: False}  # of the kind that a word such as auto stands for


def merge(base, layer, where, unset=(), path=()):
    """Merge a layer; ``unset`` are keys that take any kind of value, and with dots those that may be null again."""
    for key, new in layer.items():
        dotted = ".".join(map(str, (*path, key)))
        if key not in base:
            close = difflib.get_close_matches(str(key), map(str, base), n=1)
            hint = f"; did you mean '{close[0]}'?" if close else ""
            raise UserError(f"{where}: unknown key '{dotted}'{hint}")
        old = base[key]
        if isinstance(old, CommentedMap) and isinstance(new, CommentedMap) and not tag_of(new):
            if old or tag_of(old):
                merge(old, new, where, unset, (*path, key))
            else:
                base[key] = new
        else:
            if isinstance(old, str) and old in _words(dotted):
                old = PLAIN[KEYS[dotted].kind]
            if isinstance(old, str) and isinstance(new, (int, float)) and not isinstance(new, bool):
                new = str(new)  # a name such as 7 is a text too
            free = dotted in unset and (not path or new is None)
            _check_type(None if free else old, new, dotted, where)
            base[key] = new


def lay(tree, layer):
    """Merge as `_merge` does, into a tree that does not know the keys yet."""
    for key, new in layer.items():
        if isinstance(tree.get(key), CommentedMap) and isinstance(new, CommentedMap) and not tag_of(new):
            lay(tree[key], new)
        else:
            tree[key] = new


def _words(dotted):
    """What a key may be besides its kind, such as auto."""
    return KEYS[dotted].also if dotted in KEYS else ()


def _may_be_null(dotted):
    """Whether a part's argument may be none, whatever value it has."""
    argument = ARGUMENTS.get(dotted.rpartition(".")[2])
    return "." in dotted and argument is not None and argument.null


def _check_type(old, new, dotted, where):
    """Refuse a plain value of another kind than the one that it replaces."""
    if isinstance(new, CommentedMap) and not tag_of(new):
        raise UserError(f"{where}: '{dotted}' has no keys of its own here; give it one value")
    if isinstance(old, CommentedMap) and not tag_of(new) and (new is not None or not tag_of(old)):
        raise UserError(f"{where}: '{dotted}' must be a mapping of keys to values, not {new!r}")
    if tag_of(old) or tag_of(new) or old is None or isinstance(old, CommentedMap):
        return
    if (new is None and (isinstance(old, str) or _may_be_null(dotted))) or (
        isinstance(new, str) and new in _words(dotted)
    ):
        return
    kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    kinds[CommentedSeq] = "a list"
    for kind, name in kinds.items():
        if isinstance(old, kind):
            accepted = (int, float) if kind is float else kind
            if not isinstance(new, accepted) or (isinstance(new, bool) and kind is not bool):
                raise UserError(f"{where}: '{dotted}' must be {name}, not {new!r}")
            return
