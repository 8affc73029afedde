"""Splits for corpora that come without, the same on every machine."""

import csv
import hashlib
import random
import re
from collections import Counter
from pathlib import Path

from serenanet_modules.data.manifest import SPLITS
from serenanet_modules.errors import UserError

SHARES = {"train": 0.8, "dev": 0.1, "test": 0.1}
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("dev", "valid", "val", "validation"), "dev"),
    **dict.fromkeys(("test", "eval"), "test"),
}
NO_NAMES = ("", "manifest", "set", "data", "split")  # what follows a split's word in a file's name and is no set's name
SENTENCES, RESULTS = "sentences", "results"  # divisions of a corpus that keeps no test set of use


class SplitError(UserError):
    """A corpus that is too small to be split."""


def split_of_name(name):
    """The split that a file, or a column's value, speaks of, "" if none.

    Examples
    --------
    >>> split_of_name("valid"), split_of_name("test_clean"), split_of_name("train_manifest"), split_of_name("clips")
    ('dev', 'test-clean', 'train', '')
    """
    word, _, rest = re.sub("[-_. ]", "-", name.strip().lower()).partition("-")
    split = SPLIT_WORDS.get(word, "")
    return split if split in ("", "train") or rest in NO_NAMES else f"{split}-{rest}"


def half(text):
    """Put a text, wherever it stands, on one of two sides: True or False.

    Examples
    --------
    >>> [half(word) for word in ("moja", "mbili", "tatu", "nne")]
    [True, True, False, False]
    """
    return hashlib.sha256(text.encode()).digest()[0] % 2 == 1


def listed(division, folder, names):
    """Splits that a recipe's ``results.tsv`` gives to recordings: the division that docs/results.md was measured on.

    Parameters
    ----------
    division : str
        ``results``, or ``sentences`` for the one that `half` makes.
    folder : Path
        The recipe's.
    names : collection of str
        Of the recordings that are there.

    Returns
    -------
    dict of str to str or None
        Name of a recording -> split, where what is not in it is left out; None for ``sentences``.

    Raises
    ------
    UserError
        For another division, or a recording that is not there.
    """
    if division == SENTENCES:
        return None
    if division != RESULTS:
        raise UserError(f"division: must be {SENTENCES} or {RESULTS}, not {division!r}")
    file = Path(folder) / f"{RESULTS}.tsv"
    with open(file, encoding="utf-8", newline="") as rows:
        splits = dict(csv.reader(rows, delimiter="\t"))
    if missing := sorted(splits.keys() - set(names)):
        raise UserError(f"{file}: lists {len(missing)} recording(s) that the corpus lacks, such as {missing[0]}")
    return splits


def by_group(groups, shares=None, seed=0):
    """Split so that no group is on two sides.

    Parameters
    ----------
    groups : list of str
        The group of each utterance: its speaker, recording or sentence.
    shares : dict of str to float, optional
        How much of the utterances train, dev and test should have, as near as whole groups come to it. By default
        `SHARES`.
    seed : int

    Returns
    -------
    list of str or None
        The split of each utterance; None where there are fewer groups than splits with a share.

    Raises
    ------
    UserError
        Where the shares are no shares.

    Examples
    --------
    >>> by_group(["a", "b", "a", "c"], seed=1)
    ['train', 'test', 'train', 'dev']
    """
    shares = SHARES if shares is None else shares
    _check_shares(shares)
    sizes = Counter(groups)
    held_out = [split for split in ("test", "dev") if shares.get(split)]
    if len(sizes) < len(held_out) + 1:
        return None
    waiting = sorted(sizes)
    random.Random(seed).shuffle(waiting)
    split_of = {}
    for i, split in enumerate(held_out):
        spare = len(held_out) - i  # groups that the sets after this one, and train, need
        target = shares[split] * len(groups)
        for group in _chosen(waiting, sizes, target, len(waiting) - spare):
            split_of[group] = split
            waiting.remove(group)
    return [split_of.get(group, "train") for group in groups]


def _chosen(waiting, sizes, target, most):
    """Groups, in their order, that come near the target; the smallest one if all are too large."""
    chosen, taken = [], 0
    for group in waiting:
        more = taken + sizes[group]
        if len(chosen) < most and more <= 1.5 * target and abs(more - target) <= target - taken:
            chosen.append(group)
            taken = more
    return chosen or [min(waiting, key=sizes.get)]


def _check_shares(shares):
    wrong = [name for name in shares if name not in SPLITS]
    numbers = all(isinstance(share, int | float) and share >= 0 for share in shares.values())
    if wrong or not numbers or not shares.get("train") or abs(sum(shares.values()) - 1) > 1e-6:
        raise UserError(f"shares: {dict(shares)} must be parts of train, dev and test that add up to 1")
