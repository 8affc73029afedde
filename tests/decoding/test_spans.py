"""Labels lie where CTC's best path through them says them, and words are made of them."""

import pytest
import torch

from serenanet_modules.data.units import PhonemeUnits, train_units
from serenanet_modules.decoding.decoder import Hypothesis
from serenanet_modules.decoding.greedy import greedy
from serenanet_modules.decoding.spans import align, word_groups, words_of


def test_greedy_labels_get_the_greedy_path():
    """Every label's span is where the best labels of the frames say it, its confidence their mean there."""
    torch.manual_seed(0)
    log_probs = (4 * torch.randn(200, 7)).log_softmax(-1)
    best = log_probs.argmax(-1)
    (labels,) = greedy(log_probs.unsqueeze(0), torch.tensor([200]))
    spans = align(log_probs, labels)
    path = torch.zeros(200, dtype=torch.long)
    for label, span in zip(labels, spans, strict=True):
        path[span.start : span.end] = label
        assert span.confidence == pytest.approx(log_probs[span.start : span.end, label].exp().mean().item(), abs=1e-6)
    assert torch.equal(path, best)


def test_other_labels_get_the_likeliest_path():
    """No other path through the labels is likelier: all are tried."""
    torch.manual_seed(0)
    log_probs, labels = torch.randn(6, 3).log_softmax(-1), [1, 1, 2]
    paths = torch.cartesian_prod(*[torch.arange(3)] * 6)
    collapsed = greedy(torch.nn.functional.one_hot(paths, 3), torch.full((len(paths),), 6))
    scores = {
        tuple(p.tolist()): log_probs[range(6), p].sum() for p, c in zip(paths, collapsed, strict=True) if c == labels
    }
    found = [0] * 6
    for label, span in zip(labels, align(log_probs, labels), strict=True):
        found[span.start : span.end] = [label] * (span.end - span.start)
    assert tuple(found) == max(scores, key=scores.get)


def test_more_labels_than_frames_are_spread():
    """What no CTC path can hold still gets frames, in order."""
    spans = align(torch.zeros(3, 5).log_softmax(-1), [1, 2, 2, 3, 4])
    assert len(spans) == 5 and all(0 <= span.start < span.end <= 3 for span in spans)
    assert [span.start for span in spans] == sorted(span.start for span in spans)


def test_impossible_labels_have_no_confidence():
    """Minus infinity is a log-probability too."""
    log_probs = torch.full((4, 3), -torch.inf)
    log_probs[:, 0] = 0.0
    assert [span.confidence for span in align(log_probs, [2, 1])] == [0, 0]


def test_lost_is_what_the_best_path_is_likelier_by():
    """Nothing for the greedy labels; for others it is found by adding up all frames up to the last label's end."""
    torch.manual_seed(0)
    log_probs = (2 * torch.randn(50, 6)).log_softmax(-1)
    (labels,) = greedy(log_probs.unsqueeze(0), torch.tensor([50]))
    assert [span.lost for span in align(log_probs, labels)] == [0] * len(labels)
    other = [labels[0], *labels[2:]]
    spans = align(log_probs, other)
    path, end = torch.zeros(50, dtype=torch.long), spans[-1].end
    for label, span in zip(other, spans, strict=True):
        path[span.start : span.end] = label
    expected = log_probs.amax(1)[:end].sum() - log_probs[range(end), path[:end]].sum()
    assert sum(span.lost for span in spans) == pytest.approx(expected.item(), abs=1e-4) and expected > 0.1
    assert min(span.lost for span in spans) >= 0


@pytest.mark.parametrize("kind", ["char", "bpe", "unigram"])
def test_words_are_those_of_the_text(kind):
    """Grouped units decode to the words of the sentence, unknown letters included."""
    texts = ["mama anakula", "ng'ombe wa baba", "baba anakula ng'ombe"]
    units = train_units(kind, texts, None if kind == "char" else 19)
    for text in (*texts, "mama xanakulax", "x"):
        ids = units.encode(text)
        words = [units.decode([ids[i] for i in group]) for group in word_groups(units, ids)]
        assert words == units.decode(ids).split()


def test_words_are_those_of_the_lexicon():
    """Also where it has found none: what was begun and no word is left out."""
    units = PhonemeUnits(["a", "b", "k"])
    labels = units.encode("k a | b")
    assert [word.text for word in words_of(Hypothesis(labels, "ka", ["ka"]), units)] == ["ka"]
    assert words_of(Hypothesis(units.encode("b"), "", []), units) == []
    assert [word.text for word in words_of(Hypothesis(labels, "k a | b"), units)] == ["k a", "b"]
