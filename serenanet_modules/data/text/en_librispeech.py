"""English as LibriSpeech writes it, for scores that compare with those of others."""

import re

from serenanet_modules.data.text import en
from serenanet_modules.data.text.characters import plain_apostrophes, plain_latin

TITLES = {"mr": "mister", "mrs": "missus", "dr": "doctor", "st.": "saint"}  # the corpus has them in full


def normalise(text: str) -> str:
    """Lower-case a to z without accents and apostrophes wherever they stand; everything else parts words.

    That changes nothing of LibriSpeech's texts but their case, so word error rates are the usual ones.

    Examples
    --------
    >>> normalise("'TIS MISTER QUILTER'S O' COURSE"), normalise("Don’t, café")
    ("'tis mister quilter's o' course", "don't cafe")
    """
    return " ".join(re.sub(r"[^a-z']+", " ", plain_latin(plain_apostrophes(text))).split())


def rewrite(text: str) -> str:
    """What a recogniser with punctuation and digits has written, as the corpus would: numbers by `en`, titles in full.

    Examples
    --------
    >>> rewrite("Mr. Quilter and Mrs Jones are, on the 2nd of May, 21.")
    'mister quilter and missus jones are on the second of may twenty one'
    """
    plain = en.spoken(text)  # in lower case
    return normalise(re.sub(r"\b(?:(mr|mrs|dr)\b|st\.)", lambda m: f"{TITLES[m[0]]} ", plain))
