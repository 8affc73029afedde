"""English as LibriSpeech writes it, for scores that compare with those of others."""

import re

from serenanet_modules.data.text import en

TITLES = {"mr.": "mister", "mrs.": "missus", "dr.": "doctor", "st.": "saint"}  # the corpus has them in full


def normalise(text: str) -> str:
    """Lower-case a to z and apostrophes wherever they stand; everything else parts words.

    That changes nothing of LibriSpeech's texts but their case, so word error rates are the usual ones.

    Examples
    --------
    >>> normalise("'TIS MISTER QUILTER'S O' COURSE")
    "'tis mister quilter's o' course"
    """
    return " ".join(re.sub(r"[^a-z']+", " ", text.lower()).split())


def rewrite(text: str) -> str:
    """What a recogniser with punctuation and digits has written, as the corpus would: numbers by `en`, titles in full.

    Examples
    --------
    >>> rewrite("Mr. Quilter is, on the 2nd of May, 21.")
    'mister quilter is on the second of may twenty one'
    """
    titles = "|".join(map(re.escape, TITLES))
    return normalise(en.spoken(re.sub(rf"\b({titles})", lambda m: f"{TITLES[m[0].lower()]} ", text, flags=re.I)))
