"""N-best lists and what they say of words."""

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from serenanet_modules.data.annotations.labels import is_segments, read_segments
from serenanet_modules.data.text.digits import digits
from serenanet_modules.decoding.beam import BeamDecoder
from serenanet_modules.decoding.decoder import Hypothesis
from serenanet_modules.decoding.greedy import Greedy
from serenanet_modules.decoding.rows import Outputs
from serenanet_modules.errors import UserError
from serenanet_modules.inference.alternatives import unsaid, with_alternatives
from serenanet_modules.inference.formats import Growing, document, write
from serenanet_modules.inference.numerals import in_digits
from serenanet_modules.inference.transcript import Listed, Segment, Transcript, Word
from tests.support.fake_units import pieces


def test_words_share_the_probabilities_of_the_texts():
    """One with a word more, one with a word less, one with another."""
    words = tuple(Word(text, at, at + 1.0, 0.9) for at, text in enumerate(["saa", "mbili", "usiku"]))
    segment = Segment("saa mbili usiku", 0.0, 3.0, 0.9, words, ())
    texts = {"saa mbili usiku": 0.5, "saa tatu usiku": 0.3, "saa usiku": 0.15, "na saa mbili usiku": 0.05}
    found = with_alternatives(segment, [Hypothesis([], text, None, math.log(p) - 7.0) for text, p in texts.items()])
    assert [a.text for a in found.alternatives] == list(texts)
    assert [a.confidence for a in found.alternatives] == pytest.approx(list(texts.values()))
    shares = [{a.text: a.confidence for a in word.alternatives} for word in found.words]
    assert shares[0] == pytest.approx({"saa": 1.0}) and shares[2] == pytest.approx({"usiku": 1.0})
    assert list(shares[1]) == ["mbili", "tatu", ""]
    assert shares[1] == pytest.approx({"mbili": 0.55, "tatu": 0.3, "": 0.15})
    assert [a.score for a in found.alternatives] == [math.log(p) - 7.0 for p in texts.values()]
    told = write(Transcript(found.text, 3.0, (found,)), "json", "a.wav")
    assert '"alternatives": [{"text": "saa mbili usiku", "confidence": 0.5, "score": -7.6931}' in told
    assert '"alternatives": [{"text": "mbili", "confidence": 0.55}' in told
    assert "alternatives" not in write(Transcript(found.text, 3.0, (segment,)), "json", "a.wav")


def heard(texts, best=0):
    """A segment of words of a second with a second between them, and its n-best list by its probabilities."""
    said = list(texts)[best].split()
    words = tuple(Word(text, 2.0 * at, 2.0 * at + 1.0, 0.9) for at, text in enumerate(said))
    segment = Segment(" ".join(said), 0.0, words[-1].end, 0.9, words, ()) if words else unsaid([0.0, 0.5, 3.0])
    return with_alternatives(segment, [Hypothesis([], text, None, math.log(p) - 7.0) for text, p in texts.items()])


def between(segment):
    """What may stand where: position, times and probabilities."""
    return {
        (found.position, found.start, found.end): {a.text: pytest.approx(a.confidence) for a in found.alternatives}
        for found in segment.insertions
    }


def test_words_that_other_texts_have_between():
    """Between two words, one or several; before the first and behind the last; where the best text has none."""
    found = heard({"saa mbili": 0.4, "saa kumi na mbili": 0.35, "saa na mbili": 0.25})
    assert between(found) == {(1, 1.0, 2.0): {"": 0.4, "kumi na": 0.35, "na": 0.25}}
    assert [a.text for a in found.insertions[0].alternatives] == ["", "kumi na", "na"]
    assert [[a.text for a in word.alternatives] for word in found.words] == [["saa"], ["mbili"]]
    found = heard({"saa mbili": 0.5, "ni saa mbili": 0.3, "saa mbili usiku": 0.2})
    assert between(found) == {(0, 0.0, 0.0): {"": 0.7, "ni": 0.3}, (2, 3.0, 3.0): {"": 0.8, "usiku": 0.2}}
    assert between(heard({"": 0.6, "saa": 0.4})) == {(0, 0.0, 3.0): {"": 0.6, "saa": 0.4}}
    assert heard({"saa mbili": 0.6, "saa": 0.4}).insertions == ()


def test_places_between_words_in_files():
    """JSON has them; of numbers as digits those within a number are left out; no phrase for ELAN is empty."""
    found = heard({"saa kumi na moja": 0.5, "saa ile kumi na moja": 0.3, "saa kumi na na moja leo": 0.2})
    assert [place.position for place in found.insertions] == [1, 2, 4]
    written = in_digits(found, digits("sw"))
    assert written.text == "saa 11" and [place.position for place in written.insertions] == [1, 2]
    told = json.loads(write(Transcript(written.text, 7.0, (written,)), "json", "a.wav"))
    assert told["segments"][0]["insertions"][1] == {
        "position": 2, "start": 7.0, "end": 7.0,
        "alternatives": [{"text": "", "confidence": 0.8}, {"text": "leo", "confidence": 0.2}],
    }  # fmt: skip
    silent = Transcript("", 3.0, (heard({"": 0.6, "saa": 0.4}),))
    assert [len(tier.annotations) for tier in document(silent).tiers] == [0, 0, 0, 0]
    assert write(silent, "srt") == "" and write(silent, "json").count('"text": "saa"') == 2


def test_a_piece_whose_best_text_is_empty(recognizer):
    """Is a segment where others of its list have words, and none where nobody lists them."""
    log_probs = torch.full((1, 4, recognizer.units.size), -9.0)
    log_probs[..., 0] = 0.0
    log_probs[0, 1, 5] = -0.5
    outputs, edges = Outputs({"decoder": log_probs.log_softmax(-1)}), [[0.0, 0.1, 0.2, 0.3, 0.4]]
    outputs = SimpleNamespace(log_probs=outputs.log_probs, lengths=torch.tensor([4]))
    row = outputs.log_probs("decoder")
    listing = recognizer.listing(3)
    (segment,) = listing.segments(listing.decoder(), outputs, row, edges)
    assert (segment.text, segment.start, segment.end) == ("", 0.0, 0.4) and segment.alternatives[1].text
    assert segment.insertions[0].alternatives[0].text == ""
    assert recognizer.segments(recognizer.decoder(), outputs, row, edges) == [None]


def test_a_table_has_them_in_columns(tmp_path):
    """Of a recording and sentence by sentence, with empty fields where there are fewer; it is read as segments."""
    one = Segment("saa", 0.0, 1.0, 0.9, (), (), alternatives=(Listed("saa", 0.75, -1.0), Listed("sasa", 0.25, -2.1)))
    two = replace(one, text="tatu", start=1.5, end=2.0, alternatives=(Listed("tatu", 1.0, 0.0),))
    told = write(Transcript("saa tatu", 2.0, (one, two)), "tsv")
    assert told.splitlines() == [
        "start\tend\ttext\tprobability\tscore\ttext 2\tprobability 2\tscore 2",
        "0\t1000\tsaa\t0.7500\t-1.0000\tsasa\t0.2500\t-2.1000",
        "1500\t2000\ttatu\t1.0000\t0.0000\t\t\t",
    ]
    growing = Growing("tsv", nbest=2)
    assert told == growing.head + "".join(growing.final(Transcript(s.text, 2.0, (s,))) for s in (one, two))
    (tmp_path / "a.tsv").write_text(told, encoding="utf-8")
    assert is_segments(tmp_path / "a.tsv")
    (document,) = read_segments(tmp_path / "a.tsv")
    assert [(a.text, a.start) for a in document.tiers[0].annotations] == [("saa", 0.0), ("tatu", 1.5)]


def test_decoders_list_what_they_find():
    """The beam search its n best, the best as alone; greedy decoding has one."""
    logits = 2 * np.random.default_rng(0).normal(size=(2, 12, 4)).astype(np.float32)
    outputs, lengths = Outputs({"decoder": torch.from_numpy(logits).log_softmax(-1)}), torch.tensor([12, 5])
    beam = BeamDecoder(pieces())
    lists = beam.listed(outputs, lengths, 4)
    assert [found[0] for found in lists] == beam.decode(outputs, lengths)
    for found in lists:
        assert len(found) == 4 == len({h.text for h in found})
        assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)
    with pytest.raises(UserError, match="one text only"):
        Greedy(pieces(), "decoder").listed(outputs, lengths, 4)
