"""decoded_<set>.csv: what was said in each utterance of a set, and what decoders heard."""

import csv

from serenanet_modules.runtime.files import replacing


def write_decoded(folder, split, utterances, decoded, phonemic=False):
    """Write the table of a set.

    Parameters
    ----------
    folder : Path
    split : str
    utterances : iterable of Utterance
    decoded : dict of str to dict
        Heading of each decoder's column -> utterance id -> its text.
    phonemic : bool
        Whether the references' phonemes are a column too.
    """
    with (
        replacing(folder / f"decoded_{split}.csv") as path,
        open(path, "w", encoding="utf-8", newline="") as file,
    ):
        rows = csv.writer(file)
        about = ("id", "duration", "speaker", "recording", "reference")
        rows.writerow([*about, *(["phonemes"] * phonemic), *decoded])
        for u in utterances:
            about = (u.id, u.duration, u.speaker, u.recording or u.id, u.text)
            rows.writerow([*about, *([u.phonemes] * phonemic), *(texts[u.id] for texts in decoded.values())])
