"""Confidences fitted on dev at the end of a training: for each decoder a map to the probability that a word is right.

The maps are logistic functions of a few features of a word (`decoding.confidence`). Which features is chosen by
cross-validation on dev, whose parts share no speaker where there are enough of them and no utterance in any case. With
few words nothing is fitted, and confidences stay raw.
"""

import math
from dataclasses import dataclass
from itertools import islice

import numpy as np

from serenanet_modules.analysis.reliability import judged, reliability, words_said
from serenanet_modules.decoding.confidence import FEATURES, Calibration, Evidence, evidence
from serenanet_modules.decoding.spans import spans_of, words_of

METHODS = (  # features, the fewest first
    ("together",),
    ("posterior", "doubt"),
    ("together", "known"),
    ("together", "lost", "known"),
    ("posterior", "doubt", "least", "units"),
    ("posterior", "doubt", "least", "units", "lost", "known"),
)
LEAST_WORDS, LEAST_OF_EACH = 100, 10  # of dev that a map is fitted on, and of them right and wrong
FOLDS = 5
PRIOR = 10.0  # scikit-learn's C, of features that have a standard deviation of 1
SENSE = {
    "together": 1,
    "posterior": 1,
    "doubt": 1,
    "least": 1,
    "units": 0,
    "lost": -1,
    "known": 1,
}  # signs of their weights


@dataclass(frozen=True)
class Judged:
    """A recognised word: the utterance and the speaker, what is known of it, and whether it is right."""

    utterance: str
    speaker: str
    evidence: Evidence
    right: bool


def known_words(rows):
    """Words that stand in transcripts, written and, where there are phonemes, as phones."""
    return {word for u in rows for written in (True, False) for word in words_said(u, written) if word}


def heard_words(heard, decoder, hypotheses, words):
    """Words that a decoder heard.

    Parameters
    ----------
    heard : Heard
    decoder : Decoder
        Of the log-probabilities that ``heard`` holds.
    hypotheses : list of Hypothesis
        Of its rows.
    words : collection of str
        Those of the training transcripts.

    Returns
    -------
    dict of str to list of (str, Evidence)
        By utterance.
    """
    units, found = decoder.units, {utterance.id: [] for utterance in heard.share}
    for owner, row, hypothesis in zip(heard.owners, heard.rows, hypotheses, strict=True):
        spans = spans_of(hypothesis, row.log_probs, units.blank_id)
        found[owner.id] += [(word.text, evidence(word, spans, words)) for word in words_of(hypothesis, units)]
    return found


class Confidences:
    """Fits the maps of decoders on dev, and says of each set how good the confidences are.

    Attributes
    ----------
    results : dict
        Entry ``confidence`` of result.json: for each decoder the ``map`` or a ``note`` why there is none, and in
        ``sets`` for each set `reliability` of the ``raw`` confidences and of the ``calibrated`` ones; those of dev are
        by maps that were fitted without the words they are said of.
    """

    def __init__(self):
        self.results, self._maps = {}, {}

    def fit(self, sets, decoder, found):
        """Fit a decoder's map on all dev sets; ``found`` is from `heard_words`."""
        words = {name: judge(rows, decoder, found) for name, rows in sets.items()}
        together = sum(words.values(), [])
        entry, held_out = self.results.setdefault(decoder.name, {"sets": {}}), None
        if note := lacking(together):
            entry["note"] = note
        else:
            self._maps[decoder.name], confidences = fit(together)
            entry["map"], held_out = self._maps[decoder.name].plain, iter(confidences)
        for name, inside in words.items():
            self._add(decoder, name, inside, held_out and list(islice(held_out, len(inside))))

    def measure(self, sets, decoder, found):
        """Measure a decoder's confidences on other sets."""
        calibration = self._maps.get(decoder.name)
        for name, rows in sets.items():
            words = judge(rows, decoder, found)
            self._add(decoder, name, words, calibration and [calibration(word.evidence) for word in words])

    def _add(self, decoder, name, words, calibrated):
        right = [word.right for word in words]
        kinds = {"raw": [word.evidence.posterior for word in words], "calibrated": calibrated}
        measured = {kind: reliability(said, right) for kind, said in kinds.items() if said is not None}
        self.results[decoder.name]["sets"][name] = measured


def judge(rows, decoder, found):
    """Compare the words that a decoder heard with the transcripts.

    Parameters
    ----------
    rows : list of Utterance
    decoder : Decoder
        Its words are of letters or of phones.
    found : dict of str to list of (str, Evidence)
        From `heard_words`, of these utterances and maybe others.

    Returns
    -------
    list of Judged
    """
    references = [words_said(u, decoder.writes_words) for u in rows]
    right = judged(references, [[text for text, _ in found[u.id]] for u in rows])
    return [
        Judged(u.id, u.speaker, known, hit)
        for u, hits in zip(rows, right, strict=True)
        for (_, known), hit in zip(found[u.id], hits, strict=True)
    ]


def fit(words):
    """The map that suits dev's words best, and the confidences that they have by maps fitted without their utterances.

    Parameters
    ----------
    words : list of Judged
        As many as `lacking` asks for.

    Returns
    -------
    Calibration, list of float
    """
    from sklearn.model_selection import GroupKFold  # slow to import, and what opens a run needs none of it

    speakers = [word.speaker for word in words]
    groups = speakers if len(set(speakers)) >= FOLDS else [word.utterance for word in words]
    folds = list(GroupKFold(min(FOLDS, len(set(groups)))).split(words, groups=groups))
    tried = [(_held_out(words, features, folds), features) for features in METHODS]
    held_out, features = min(tried, key=lambda pair: _log_loss(pair[0], words))
    return _fitted(words, features), held_out


def lacking(words):
    """Why dev's words are too few for a map, as a sentence; None where they are enough."""
    right = sum(word.right for word in words)
    counts = {"words": (len(words), LEAST_WORDS), "correct": (right, LEAST_OF_EACH)}
    counts["wrong"] = (len(words) - right, LEAST_OF_EACH)
    for name, (count, least) in counts.items():
        if count < least:
            return f"dev has {count} {name if name == 'words' else name + ' words'}; calibration needs {least}"
    return (
        None
        if len({word.utterance for word in words}) > 1
        else "dev has one utterance with words; calibration needs two"
    )


def _held_out(words, features, folds):
    confidences = np.empty(len(words))
    for train, test in folds:
        calibration = _fitted([words[i] for i in train], features)
        confidences[test] = [calibration(words[i].evidence) for i in test]
    return confidences.tolist()


def _log_loss(confidences, words):
    right = np.array([word.right for word in words])
    return -np.log(np.where(right, confidences, 1 - np.array(confidences)).clip(1e-12)).mean()


def _fitted(words, features):
    """The likeliest map of some features, of which none has a weight against its sense.

    Each word counts as right for a part and as wrong for the rest, as Platt (1999) has it: so that no map is sure
    beyond what so few words can say.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    right = np.array([word.right for word in words])
    if not features:
        return Calibration({}, round(math.log((right.sum() + 1) / ((~right).sum() + 1)), 6))
    parts = np.where(right, (right.sum() + 1) / (right.sum() + 2), 1 / ((~right).sum() + 2))
    values = np.array([[FEATURES[name](word.evidence) for name in features] for word in words])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=PRIOR))
    weights = {"logisticregression__sample_weight": np.concatenate([parts, 1 - parts])}
    model.fit(np.tile(values, (2, 1)), np.repeat([True, False], len(words)), **weights)
    scaler, (line,), (bias,) = model[0], model[1].coef_, model[1].intercept_
    line = line / scaler.scale_
    against = [name for name, weight in zip(features, line, strict=True) if weight * SENSE[name] < 0]
    if against:
        return _fitted(words, tuple(name for name in features if name not in against))
    bias -= float(line @ scaler.mean_)
    return Calibration({n: round(float(w), 6) for n, w in zip(features, line, strict=True)}, round(float(bias), 6))
