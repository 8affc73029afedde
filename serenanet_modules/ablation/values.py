"""Lists of values of hyper-parameters, and every combination of them: the rows of a search."""

import itertools
import json
import re
from pathlib import Path

from serenanet_modules.errors import UserError

INCLUDE = "!include:"
MOST = 1000  # combinations
LONGEST = 200  # characters of a folder's name
OPENING, CLOSING = "[{", "]}"


def read_values(words):
    """``lr=0.1,0.2`` … -> {key: yaml texts of its values}; commas inside brackets belong to a value.

    Examples
    --------
    >>> read_values(["lr=0.1,0.2", "frontend.resolutions=[1],[1, 2]"])
    {'lr': ['0.1', '0.2'], 'frontend.resolutions': ['[1]', '[1, 2]']}
    """
    found = {}
    for word in words:
        key, equals, text = word.partition("=")
        values = _split(text)
        if not key or not equals or not all(values):
            raise UserError(f"--values: '{word}' must be KEY=VALUE,VALUE, such as lr=0.001,0.002")
        found.setdefault(key.replace("-", "_"), []).extend(values)
    return found


def yaml_texts(content, file):
    """{key: yaml texts of its values} of a suite's ``values``."""
    if not isinstance(content, dict) or not all(isinstance(values, list) and values for values in content.values()):
        raise UserError(f"{file}: 'values' must be a mapping of keys to lists, such as lr: [0.001, 0.002]")
    return {str(key): [as_text(value) for value in values] for key, values in content.items()}


def as_text(value):
    """A plain value as the command line says it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def combinations(values, where):
    """A name and (key, text) pairs of each combination, the last key's values changing fastest.

    Examples
    --------
    >>> list(combinations({"lr": ["0.1", "0.2"]}, "suite.yaml"))
    [('lr=0.1', (('lr', '0.1'),)), ('lr=0.2', (('lr', '0.2'),))]
    """
    count = 1
    for texts in values.values():
        count *= len(texts)
    if count > MOST:
        raise UserError(f"{where}: the values have {count} combinations; {MOST} at most")
    names = set()
    for texts in itertools.product(*values.values()):
        chosen = tuple(zip(values, texts, strict=True))
        name = "+".join(f"{key}={_short(text)}" for key, text in chosen)
        if name in names or len(name) > LONGEST:
            wrong = "is given twice" if name in names else f"has a name of more than {LONGEST} characters"
            raise UserError(f"{where}: the combination {name} {wrong}")
        names.add(name)
        yield name, chosen


def _split(text):
    """Pieces of a text between those commas that stand in no bracket."""
    pieces, depth = [""], 0
    for letter in text:
        depth += (letter in OPENING) - (letter in CLOSING)
        if letter == "," and not depth:
            pieces.append("")
        else:
            pieces[-1] += letter
    return [piece.strip() for piece in pieces]


def _short(text):
    """A value as part of a folder's name."""
    if text.startswith(INCLUDE):
        text = Path(text.removeprefix(INCLUDE)).stem
    return re.sub(r"[^\w.+-]+", "-", text).strip("-") or "-"
