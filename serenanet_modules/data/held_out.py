"""Dev and test sets as what no training may hear or read: their recordings, ids, speakers and sentences."""

import os
import re
from collections import defaultdict
from functools import cached_property
from itertools import filterfalse

from serenanet_modules.data import asked
from serenanet_modules.data.copies import Copies
from serenanet_modules.data.manifest import role
from serenanet_modules.data.text import normaliser

MOST_DIGITS = 9  # of a running number or a date; longer ones are ids, as in FLEURS
RUNNING_NUMBER = re.compile(rf"\d{{1,{MOST_DIGITS}}}")


class HeldOut:
    """What dev and test sets hold.

    Sentences are the same where they are the same in small letters without punctuation, by the rule of their locale,
    however they are written here or there. A running number is no id, and a file's name is one only where no other file
    of these sets has it.

    Parameters
    ----------
    candidates : iterable of Candidate
    by_sound : bool
        Whether recordings are compared by their samples too, which decodes those of about the same length.

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

    def __init__(self, candidates, by_sound=False):
        self.recordings, self.ids, self.speakers, self.sentences = set(), set(), set(), set()
        self._paths, stems = set(), defaultdict(set)
        for candidate in candidates:
            self._paths |= {candidate.path} if by_sound else set()
            self.recordings.add(os.path.realpath(candidate.path))
            self.ids |= _ids(candidate)
            stems[candidate.path.stem].add(os.path.realpath(candidate.path))
            self.speakers.add(candidate.speaker)
            self.sentences.add(normaliser(candidate.locale)(candidate.text))
        self.ids |= {stem for stem, paths in stems.items() if len(paths) == 1}
        self.ids = set(filterfalse(RUNNING_NUMBER.fullmatch, self.ids))
        self.speakers.discard("")
        self.sentences.discard("")

    @classmethod
    def read(cls, corpora, locale):
        """The dev and test sets of corpora, also by their sounds; all of one that has none.

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
        return cls(rows, by_sound=True)

    @cached_property
    def _copies(self):
        return Copies(self._paths)

    def has(self, candidate, text):
        """What they share with an utterance of this text: recording, id, speaker, sentence, or ""."""
        if os.path.realpath(candidate.path) in self.recordings:
            return "recording"
        if self._paths and self._copies.has(candidate.path):
            return "recording"
        if not self.ids.isdisjoint(_ids(candidate) | {candidate.path.stem}):
            return "id"
        if candidate.speaker in self.speakers:
            return "speaker"
        return "sentence" if self.says(text, candidate.locale) else ""

    def says(self, text, locale):
        """Whether a sentence is one of theirs."""
        return bool(self.sentences) and normaliser(locale)(text) in self.sentences


def _ids(candidate):
    """Its id, also without the corpus that pooling puts before one that is there twice."""
    return {candidate.id, candidate.id.rpartition("/")[2]}
