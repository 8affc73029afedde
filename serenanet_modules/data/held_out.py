"""Dev and test sets as what no training may hear or read: their recordings, ids, speakers and sentences."""

import os

from serenanet_modules.data import asked
from serenanet_modules.data.manifest import role
from serenanet_modules.data.text import normaliser


class HeldOut:
    """What dev and test sets hold.

    Parameters
    ----------
    rows : iterable of (Candidate, str)
        With their normalised texts.

    Examples
    --------
    >>> from pathlib import Path
    >>> from serenanet_modules.data.manifest import Candidate
    >>> test = Candidate("u1", Path("/clips/u1.mp3"), "Habari!", "amina", "sw", "test")
    >>> held_out = HeldOut([(test, "habari")])
    >>> held_out.has(Candidate("x-1", Path("/copies/u1.wav"), "", "", "sw", "train"), "jambo")
    'id'
    >>> held_out.has(Candidate("x-2", Path("/radio.wav"), "", "juma", "sw", "train"), "habari")
    'sentence'
    """

    def __init__(self, rows):
        self.recordings, self.ids, self.speakers, self.sentences = set(), set(), set(), set()
        for candidate, text in rows:
            self.recordings.add(os.path.realpath(candidate.path))
            self.ids |= _names(candidate)
            self.speakers.add(candidate.speaker)
            self.sentences.add(text)
        self.speakers.discard("")
        self.sentences.discard("")

    @classmethod
    def read(cls, corpora, locale):
        """The dev and test sets of corpora; all of one that has none.

        Parameters
        ----------
        corpora : iterable of str or Path
            Manifests or folders of them, a Common Voice release among them (see `data.custom`).
        locale : str
            Of what does not say its own.
        """
        rows = []
        for corpus in corpora:
            found = asked.corpus(corpus, locale, needs_text=False)
            kept = [c for c in found if role(c.split) != "train"] or found
            rows += [(c, normaliser(c.locale)(c.text)) for c in kept]
        return cls(rows)

    def has(self, candidate, text):
        """What they share with an utterance of this normalised text: recording, id, speaker, sentence, or ""."""
        if os.path.realpath(candidate.path) in self.recordings:
            return "recording"
        if not self.ids.isdisjoint(_names(candidate)):
            return "id"
        if candidate.speaker in self.speakers:
            return "speaker"
        return "sentence" if text in self.sentences else ""


def _names(candidate):
    """Its id, also without the corpus that pooling puts before one that is there twice, and its file's name."""
    return {candidate.id, candidate.id.rpartition("/")[2], candidate.path.stem}
