"""A corpus written in the layout of a Common Voice release: train.tsv, dev.tsv, test.tsv and clips/."""

import csv
import hashlib

from serenanet_modules.runtime.files import replacing

COLUMNS = (
    "client_id path sentence_id sentence sentence_domain up_votes down_votes age gender accents variant locale segment"
).split()


def row(clip, sentence, speaker, locale, is_man):
    """A clip's line; what a synthetic voice cannot fill is empty.

    Parameters
    ----------
    clip : str
        Name of the file in clips/.
    sentence : str
    speaker : object
        Whose ``repr`` says who speaks.
    locale : str
    is_man : bool

    Returns
    -------
    dict of str to str
    """
    return dict.fromkeys(COLUMNS, "") | {
        "client_id": hashlib.sha512(repr(speaker).encode()).hexdigest(),
        "path": clip,
        "sentence_id": hashlib.sha256(sentence.encode()).hexdigest(),
        "sentence": " ".join(sentence.split()),
        "up_votes": "2",
        "down_votes": "0",
        "gender": "male_masculine" if is_man else "female_feminine",
        "locale": locale,
    }


def write_list(path, rows):
    """Write the list of a split, sorted by speaker; it appears whole or not at all."""
    with replacing(path) as partial, open(partial, "w", encoding="utf-8", newline="") as file:
        layout = {"delimiter": "\t", "lineterminator": "\n", "quoting": csv.QUOTE_NONE, "quotechar": None}
        table = csv.DictWriter(file, COLUMNS, **layout)
        table.writeheader()
        table.writerows(sorted(rows, key=lambda r: (r["client_id"], r["path"])))
