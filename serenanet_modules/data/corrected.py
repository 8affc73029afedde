"""Corrected recordings for a finished recogniser to learn from, kept apart from all that measures it."""

import random
from collections import Counter
from dataclasses import dataclass, replace
from itertools import groupby

from serenanet_modules.data import corpora, custom
from serenanet_modules.data.copies import Copies, hash_of, length_of, sound_of
from serenanet_modules.data.manifest import role
from serenanet_modules.data.sifting import inspect
from serenanet_modules.errors import UserError
from serenanet_modules.runtime.amounts import counted

SHARE = 0.1  # of the corrected recordings: so many choose checkpoints, and so many others measure
FEW = 5  # recordings: of fewer, utterances are held out
OF_TRAIN = ("too short", "too long", "too short for its text")  # reasons that keep no utterance from dev or test
NEW, OLD = "corrected", "old"  # names of the dev and test sets
LEAST_OLD = 3600.0  # seconds of old training speech that are mixed in, if there are so many
MOST_OLD = 300.0  # seconds of old speech that choose, and as much that measures


@dataclass(frozen=True)
class Pool:
    """What an adaptation learns from and is measured by.

    Attributes
    ----------
    candidates : list of Candidate
        Train; of dev and test the sets that are named after `NEW` and `OLD`.
    seconds : dict of str to float
        Of corrected speech by role; under ``old`` that of old training speech.
    left_out : Counter
        Corrected utterances by the reason.
    """

    candidates: list
    seconds: dict
    left_out: Counter

    @property
    def measuring(self):
        """The candidates of test, and those that were corrected of dev."""
        return [c for c in self.candidates if role(c.split) == "test" or c.split == f"dev-{NEW}"]


@dataclass(frozen=True)
class Judged:
    """What was corrected, once it was heard.

    Attributes
    ----------
    usable : list of Candidate
    left_out : Counter
        The others by the reason.
    unfit : dict
        Path and part of those that can measure, but not be learned from -> the reason.
    """

    usable: list
    left_out: Counter
    unfit: dict


def read(paths, locale, **options):
    """The corrected utterances of files and folders.

    Parameters
    ----------
    paths : list of Path
        Annotations beside their recordings, manifests, and folders of either: what `data.custom` reads.
    locale : str
    **options
        As of `custom.candidates`.

    Returns
    -------
    list of Candidate
        Those with a text; what a manifest says of their split does not count.
    """
    found = corpora.read(list(paths), locale, custom.candidates, options={"shares": {"train": 1}, **options})
    return [replace(c, split="train") for c in found if c.text.strip()]


def judge(candidates, settings, audio_folder=None):
    """Listen to what was corrected, so that what no training could use is known before one begins.

    Parameters
    ----------
    candidates : list of Candidate
        As of `read`.
    settings : Settings
        Of the training.
    audio_folder : Path, optional
        Where recordings were looked for, too.

    Returns
    -------
    Judged

    Raises
    ------
    UserError
        Where none of the recordings is there.
    """
    clips = inspect(candidates, settings, decode=True) if candidates else []
    if clips and all(clip.reason == "missing" for clip in clips):
        raise UserError(_none_is_there(list(dict.fromkeys(clip.candidate.path for clip in clips)), audio_folder))
    left_out = Counter(clip.reason for clip in clips if clip.reason and clip.reason not in OF_TRAIN)
    usable = [clip.candidate for clip in clips if not clip.reason or clip.reason in OF_TRAIN]
    unfit = {(clip.candidate.path, clip.candidate.part): clip.reason for clip in clips if clip.reason in OF_TRAIN}
    return Judged(usable, left_out, unfit)


def _none_is_there(paths, audio_folder):
    number = len(paths)
    which = f"none of the {number} corrected recordings is" if number > 1 else "the corrected recording is not"
    where = "there" if audio_folder is None else f"in {audio_folder}"
    return f"{which} {where}; give the folder that holds {paths[0].name} with --audio-folder"


def pool(corrected, old, share_of_old, seed, judged=None):
    """Hold out some of what was corrected, and mix the rest with what the recogniser has learned from.

    A recording is held out by the hash of its samples: of the same recordings and more the same ones are.

    Parameters
    ----------
    corrected : list of Candidate
        As of `read`.
    old : list of Candidate
        All that the recogniser's training had, or nothing.
    share_of_old : float
        Seconds of its training speech for each second of new one, but `LEAST_OLD` at least; 0 for none.
    seed : int
    judged : Judged, optional
        What is known of them.

    Returns
    -------
    Pool

    Raises
    ------
    UserError
        Where too little was corrected to learn from it and to measure that.
    """
    kept, left_out = _apart([c for c in corrected if c.text.strip()], [c for c in old if role(c.split) != "train"])
    judged = judged or Judged([], Counter(), {})
    kept, unfit = _fit(_unlike(_held_out(kept), {c.id for c in old}), judged.unfit)
    left_out += judged.left_out + unfit
    if len({role(c.split) for c in kept}) < 3:
        told = ", ".join(f"{n} {reason}" for reason, n in left_out.items()) or "nothing"
        few = f"{counted(len(kept), 'corrected utterance')} {'is' if len(kept) == 1 else 'are'} too few"
        raise UserError(
            f"{few} for train, dev and test; correct at least three recordings or sentences (left out: {told})"
        )
    spoken = Counter()
    for c in kept:
        spoken[role(c.split)] += _length(c)
    wanted = max(LEAST_OLD, share_of_old * spoken["train"]) if share_of_old else 0.0
    train, spoken[OLD] = _sample([c for c in old if c.split == "train"], wanted, seed)
    return Pool([*kept, *train, *_measured_by(old, seed)], dict(spoken), left_out)


def _apart(corrected, measuring):
    """The corrected utterances of recordings that no dev or test set has, and how many are of others."""
    measured = Copies(c.path for c in measuring if not c.is_segment)
    kept, left_out = [], Counter()
    for path, same in groupby(sorted(corrected, key=lambda c: str(c.path)), key=lambda c: c.path):
        utterances = list(same)
        if measured.has(path):
            left_out["in a dev or test set of the model's training"] += len(utterances)
        else:
            kept += utterances
    return kept, left_out


def _held_out(candidates):
    """The same with their sets: a tenth chooses, a tenth measures, at least one recording or utterance each."""
    recordings = {c.path for c in candidates}
    keys = [sound_of(c.path) if len(recordings) >= FEW else hash_of(sound_of(c.path), *c.part) for c in candidates]
    order = sorted(set(keys))
    number = {
        name: max(1, sum(_share(key) < bound for key in order)) for name, bound in (("test", SHARE), ("", 2 * SHARE))
    }
    test, dev = order[: number["test"]], order[number["test"] : max(number[""], number["test"] + 1)]
    sets = {**dict.fromkeys(test, f"test-{NEW}"), **dict.fromkeys(dev, f"dev-{NEW}")}
    return [replace(c, split=sets.get(key, "train")) for c, key in zip(candidates, keys, strict=True)]


def _fit(candidates, unfit):
    """Those that can be learned from or measure, and how many of train cannot be learned from by the reason."""
    reasons = [c.split == "train" and unfit.get((c.path, c.part)) for c in candidates]
    kept = [c for c, reason in zip(candidates, reasons, strict=True) if not reason]
    return kept, Counter(filter(None, reasons))


def _unlike(candidates, names):
    """The same with ids that none of ``names`` is."""
    return [replace(c, id=f"{NEW}/{c.id}") if c.id in names else c for c in candidates]


def _sample(candidates, wanted, seed):
    """Candidates of so many seconds, drawn, and how many seconds they are."""
    found, spoken = [], 0.0
    for c in random.Random(seed).sample(candidates, len(candidates)):
        if spoken >= wanted:
            break
        found.append(c)
        spoken += _length(c)
    return found, spoken


def _measured_by(old, seed):
    """Of what chose the old model one half to choose again, another to say what became of it; test stays unseen."""
    dev = [c for c in old if role(c.split) == "dev"]
    halves = {"dev": [], "test": []}
    for c in dev:
        halves["dev" if _share(hash_of(c.id)) < 0.5 else "test"].append(c)
    return [
        replace(c, split=f"{name}-{OLD}") for name, half in halves.items() for c in _sample(half, MOST_OLD, seed)[0]
    ]


def _length(candidate):
    return (length_of(candidate.path) if candidate.end is None else candidate.end) - candidate.start


def _share(key):
    """A number from 0 to 1 that a hash stands for."""
    return int(key[:8], 16) / 2**32
