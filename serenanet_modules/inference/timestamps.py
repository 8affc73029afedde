"""Times and confidences of decoded text, by the paths of its labels (`decoding.spans`).

A token begins with the first frame that its path spends on it and ends behind the last one. CTC is peaky: a trained
model often says a label in fewer frames than it sounds.

Confidence, between 0 and 1
    token    mean posterior probability of the token in its frames, as the network gives it;
    word     the probability that it is right, by the map that dev gave for the decoder; without such a map the
             geometric mean of its tokens' confidences;
    segment  mean of its words': with a map the share of them that may be expected to be right.
"""

from serenanet_modules.decoding.confidence import confidence
from serenanet_modules.decoding.spans import spans_of, words_of
from serenanet_modules.inference.transcript import Segment, Token, Word


def timed(hypothesis, units, log_probs, edges, calibration=None):
    """A decoded utterance with times.

    Parameters
    ----------
    hypothesis : Hypothesis
        Of some labels.
    units : Units
    log_probs : Tensor or None
        (T, V), what the labels are aligned on, where the hypothesis does not say where they lie.
    edges : list of float
        T + 1 seconds: where each frame begins, and where the last one ends.
    calibration : Calibration, optional
        Of words' confidences.

    Returns
    -------
    Segment
        From its first word to its last.
    """
    return placed(hypothesis, units, spans_of(hypothesis, log_probs, units.blank_id), edges, calibration)


def placed(hypothesis, units, spans, edges, calibration=None):
    """The same where it is known which frames each label has: ``spans`` are as `decoding.spans.align` gives them."""
    starts, ends = [edges[span.start] for span in spans], [edges[span.end] for span in spans]
    tokens = tuple(
        Token(surface(units, label), start, end, span.confidence)
        for label, start, end, span in zip(hypothesis.labels, starts, ends, spans, strict=True)
        if label not in units.marks
    )
    words = tuple(
        Word(word.text, starts[word.group[0]], ends[word.group[-1]], confidence(word, spans, calibration))
        for word in words_of(hypothesis, units)
    )
    parts = words or tokens
    mean = sum(part.confidence for part in parts) / len(parts)
    return Segment(hypothesis.text, parts[0].start, parts[-1].end, mean, words, tokens, looped=hypothesis.looped)


def surface(units, label):
    """A label as text; joined, those of SentencePiece units are the sentence, after a space."""
    begins_word = not units.phonemic and units.pieces[label].startswith(units.boundary)
    return " " * begins_word + units.decode([label])
