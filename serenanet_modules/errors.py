"""The one exception that means: the user can mend this."""


class UserError(Exception):
    """Bad input, said in one sentence: what is wrong, where, and what to do.

    Every entry point prints the sentence alone, without a traceback, and exits with status 2.

    Examples
    --------
    >>> raise UserError("train.tsv: line 7 has no 'path' column; is this a Common Voice release?")
    Traceback (most recent call last):
        ...
    serenanet_modules.errors.UserError: train.tsv: line 7 has no 'path' column; is this a Common Voice release?
    """


class LayoutError(UserError):
    """A folder that is not in the layout of the corpus asked for, nor half of it."""


class Fault(UserError):
    """Something that befell this process alone; of several, each says its own."""
