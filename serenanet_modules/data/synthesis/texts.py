"""Sentences for synthetic speech: of files of text and of manifests, without what must not be said."""

from collections import Counter
from pathlib import Path

from serenanet_modules.data.manifest import role
from serenanet_modules.data.sentences import read_sentences
from serenanet_modules.data.splitting import split_of_name
from serenanet_modules.data.tables import SUFFIXES, read_rows
from serenanet_modules.data.text import normaliser

STDIN = "-"


def sentences(names, locale, held_out, stdin):
    """The different sentences of some texts.

    Parameters
    ----------
    names : list of str
        Files with a sentence a line; lists with a column of sentences, such as train.tsv of Common Voice; ``-``.
    locale : str
        Whose rules say which sentences are the same.
    held_out : HeldOut
        Whose sentences are left out.
    stdin : iterable of str

    Returns
    -------
    kept : list of str
        As written.
    left_out : Counter
        How many were left out for what.
    """
    left_out, kept = Counter(), {}
    normalise = normaliser(locale)
    for split, sentence in (found for name in names for found in _read(name, stdin)):
        text = normalise(sentence)
        reason = _reason(split, text, kept) or ("in what is excluded" if held_out.says(text, locale) else "")
        if reason:
            left_out[reason] += 1
        else:
            kept[text] = sentence
    return list(kept.values()), left_out


def _reason(split, text, kept):
    if role(split) in ("dev", "test"):
        return "in a dev or test set"
    if not text:
        return "without a word"
    return "there twice" if text in kept else ""


def _read(name, stdin):
    """Yield (split, sentence); the split is "" where a text has none."""
    if name == STDIN:
        yield from (("", line.strip()) for line in stdin if line.strip())
    elif Path(name).suffix.lower() in SUFFIXES:
        own = split_of_name(Path(name).stem)
        for row in read_rows(Path(name), needed="text"):
            yield split_of_name(row.get("split")) or own, row.get("text")
    else:
        yield from (("", line) for line in read_sentences([name]))
