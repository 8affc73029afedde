"""Dev and test sets as what no training may hear or read: their recordings, ids, speakers and sentences."""

import os

from serenanet_modules.data import asked
from serenanet_modules.data.manifest import role
from serenanet_modules.data.text import normaliser


class HeldOut:
    """What dev and test sets hold.

    Sentences are the same where they are the same in small letters without punctuation, by the rule of their locale,
    however they are written here or there.

    Parameters
    ----------
    candidates : iterable of Candidate

    Examples
    --------
    >>> from pathlib import Path
    >>> from serenanet_modules.data.manifest import Candidate
    >>> test = Candidate("u1", Path("/clips/u1.mp3"), "Habari!", "amina", "sw", "test")
    >>> held_out = HeldOut([test])
    >>> held_out.has(Candidate("x-1", Path("/copies/u1.wav"), "", "", "sw", "train"), "jambo")
    'id'
    >>> held_out.has(Candidate("x-2", Path("/radio.wav"), "", "juma", "sw", "train"), "habari.")
    'sentence'
    """

    def __init__(self, candidates):
        self.recordings, self.ids, self.speakers, self.sentences = set(), set(), set(), set()
        for candidate in candidates:
            self.recordings.add(os.path.realpath(candidate.path))
            self.ids |= _names(candidate)
            self.speakers.add(candidate.speaker)
            self.sentences.add(normaliser(candidate.locale)(candidate.text))
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
            rows += [c for c in found if role(c.split) != "train"] or found
        return cls(rows)

    def has(self, candidate, text):
        """What they share with an utterance of this text: recording, id, speaker, sentence, or ""."""
        if os.path.realpath(candidate.path) in self.recordings:
            return "recording"
        if not self.ids.isdisjoint(_names(candidate)):
            return "id"
        if candidate.speaker in self.speakers:
            return "speaker"
        return "sentence" if self.says(text, candidate.locale) else ""

    def says(self, text, locale):
        """Whether a sentence is one of theirs."""
        return bool(self.sentences) and normaliser(locale)(text) in self.sentences


def _names(candidate):
    """Its id, also without the corpus that pooling puts before one that is there twice, and its file's name."""
    return {candidate.id, candidate.id.rpartition("/")[2], candidate.path.stem}
