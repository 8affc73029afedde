"""What a prepared corpus holds, and what makes a score on it look better, or worse, than the system is."""

import json
from collections import Counter
from pathlib import Path

import numpy as np

from serenanet_modules.data.manifest import SPLITS, role
from serenanet_modules.data.text import ANY, has_rules
from serenanet_modules.runtime.amounts import duration

SUMMARY = "summary.json"
MOST_LOCALES = 5  # named in a line


def summarise(clips):
    """Count a corpus.

    Parameters
    ----------
    clips : list of Clip
        Judged: those without a reason are in.

    Returns
    -------
    dict
        locales, splits (hours, the 99th percentile of durations, utterances, speakers, characters and rejects of
        each), warnings.
    """
    kept = [clip for clip in clips if not clip.reason]
    names = split_names(clip.candidate.split for clip in clips)
    return {
        "locales": sorted({clip.candidate.locale for clip in kept}),
        "splits": {name: _count(clips, name) for name in names},
        "warnings": list(_warnings(kept)),
    }


def read_summary(folder):
    """The summary of prepared data in a folder."""
    return json.loads((Path(folder) / SUMMARY).read_text(encoding="utf-8"))


def split_names(splits):
    """Train, dev and test sets in this order; a role that nothing has stands for itself.

    Examples
    --------
    >>> split_names(["test-other", "train", "test-clean"])
    ['train', 'dev', 'test-clean', 'test-other']
    """
    found = sorted(set(splits))
    return [name for r in SPLITS for name in [s for s in found if role(s) == r] or [r]]


def table(summary):
    """Yield a summary as lines of text."""
    width = max(map(len, ("split", *summary["splits"])))
    yield f"{'split':<{width}}     audio  utterances  speakers  characters  rejected"
    for split, s in summary["splits"].items():
        numbers = f"{s['utterances']:>12}{s['speakers'] or '-':>10}{s['characters']:>12}"
        yield f"{split:<{width}}{duration(3600 * s['hours']):>10}{numbers}  {in_words(s['rejected']) or 'none'}"
    for warning in summary["warnings"]:
        yield f"note: {warning}"
    if plain := [locale for locale in summary["locales"] if locale != ANY and not has_rules(locale)]:
        more = ", …" if len(plain) > MOST_LOCALES else ""
        yield f"note: default text rules are used; there are none for {', '.join(plain[:MOST_LOCALES])}{more}"


def rejected(clips, split):
    """How many clips of a split were rejected for what, the commonest reason first."""
    counts = Counter(c.reason for c in clips if c.reason and c.candidate.split == split)
    return dict(counts.most_common())


def in_words(reasons):
    """What `rejected` counts, as a text."""
    return ", ".join(f"{count} {reason}" for reason, count in reasons.items())


def crossing(clips):
    """What stands in train and in a dev or test set.

    Parameters
    ----------
    clips : list of Clip
        None of them rejected.

    Returns
    -------
    dict of str to (list of str, list of Clip)
        By set: speakers that also speak in train, and clips whose sentence is also in train.
    """
    train = [clip for clip in clips if clip.candidate.split == "train"]
    speakers = {clip.candidate.speaker for clip in train} - {""}
    sentences = {clip.text for clip in train} - {""}
    found = {}
    for name in split_names(clip.candidate.split for clip in clips):
        if name != "train":
            inside = [clip for clip in clips if clip.candidate.split == name]
            shared = sorted({clip.candidate.speaker for clip in inside} & speakers)
            found[name] = shared, [clip for clip in inside if clip.text in sentences]
    return found


def _count(clips, split):
    inside = [clip for clip in clips if clip.candidate.split == split and not clip.reason]
    durations = [clip.duration for clip in inside]
    return {
        "hours": round(sum(durations) / 3600, 4),
        "p99_seconds": round(float(np.percentile(durations, 99)), 2) if durations else 0.0,
        "utterances": len(inside),
        "speakers": len({clip.candidate.speaker for clip in inside} - {""}),
        "characters": sum(len(clip.text) for clip in inside),
        "rejected": rejected(clips, split),
    }


def _warnings(clips):
    letters = set().union(*(clip.text for clip in clips if clip.candidate.split == "train"))
    if silent := sum(clip.candidate.split == "train" and not clip.text for clip in clips):
        yield f"{silent} train utterance(s) have no text; only pre-training can use them"
    for split, (speakers, sentences) in crossing(clips).items():
        texts = [clip.text for clip in clips if clip.candidate.split == split]
        if speakers:
            yield f"{len(speakers)} {split} speaker(s) also speak in train"
        if sentences:
            yield f"{len(sentences)} {split} utterance(s) have a sentence that is in train"
        if empty := sum(not text for text in texts):
            yield f"{empty} {split} utterance(s) have no text; all words there are insertions"
        if letters and (unseen := set().union(*texts) - letters):
            yield f"{split} has character(s) that train lacks: {' '.join(sorted(unseen))}"
