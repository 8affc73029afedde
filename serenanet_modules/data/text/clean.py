"""A corpus's own conventions of transcription, as a table of what is to be made of its texts before any rule.

A line a rule, between tabs, in the order in which they apply; lines that begin with ``#`` and empty ones are none:

    drop      [kelele]              left out
    replace   ꞉      ː              written otherwise
    skip      (haieleweki)          an utterance with it is left out altogether
    drop      /<[^<>]*>/            between slashes, a regular expression
"""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from serenanet_modules.data.tables import rule_lines
from serenanet_modules.errors import UserError

FIELDS = {"drop": 2, "replace": 3, "skip": 2}
SHOWN = 60  # characters of an example


@dataclass(frozen=True)
class Rule:
    """A line of the table."""

    line: int
    action: str
    said: str
    pattern: re.Pattern
    becomes: str = ""


class Cleaner:
    """The rules of a file, and what they did so far.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    UserError
        Naming the line: another action than those above, too few or many fields, a regular expression that is none.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile("w", suffix=".tsv") as file:
    ...     _ = file.write("drop\\t/[<>]/\\nreplace\\tsh\\tx\\nskip\\t???\\n")
    ...     _ = file.seek(0)
    ...     clean = Cleaner(file.name)
    >>> clean("<shule> ya"), clean("??? sana")
    ('xule ya', None)
    """

    def __init__(self, path):
        self.path = Path(path)
        self.rules = [self._rule(number, line) for number, line in rule_lines(path, "--clean")]
        self._counts, self._examples = Counter(), {}

    def _rule(self, number, line):
        where, fields = f"{self.path}: line {number}", line.split("\t")
        action = fields[0].strip()
        if len(fields) != FIELDS.get(action) or not fields[1]:
            raise UserError(f"{where}: must be drop TEXT, skip TEXT or replace TEXT BY, with tabs between")
        said = fields[1]
        is_pattern = len(said) > 2 and said[0] == said[-1] == "/"
        try:
            pattern = re.compile(said[1:-1] if is_pattern else re.escape(said))
        except re.error as error:
            raise UserError(f"{where}: {said} is no regular expression: {error}") from None
        return Rule(number, action, said, pattern, fields[2] if action == "replace" else "")

    def __call__(self, text):
        """The cleaned text, None where the utterance is to be skipped."""
        for rule in self.rules:
            changed, count = rule.pattern.subn(lambda _, rule=rule: rule.becomes, text)
            if count:
                self._counts[rule] += count
                self._examples.setdefault(rule, (text, changed))
                if rule.action == "skip":
                    return None
                text = changed
        return text

    def report(self):
        """Yield a line for each rule: what it did, how often, and where first."""
        for rule in self.rules:
            said = f"{self.path}: line {rule.line}: {rule.action} {rule.said}: {self._counts[rule]} ×"
            before, after = (text[:SHOWN] for text in self._examples.get(rule, ("", "")))
            yield (
                said
                + (f", such as {before!r}" if before else "")
                + (f" -> {after!r}" if before and rule.action != "skip" else "")
            )
