"""Transcripts as files: what other programs read in them is what was heard."""

import json
import random
import re
from dataclasses import replace
from itertools import pairwise

import pytest
from praatio import textgrid

from serenanet_modules.inference import formats
from serenanet_modules.inference.formats import SUFFIXES, write
from serenanet_modules.inference.subtitles import LINE, LONGEST, cues
from serenanet_modules.inference.transcript import Segment, Token, Transcript, Word


def segment(text, start=0.0, pace=0.3, gap=0.1):
    """Words of equal length, and their letters as tokens."""
    words, tokens = [], []
    for word in text.split():
        words.append(Word(word, start, start + pace, 0.87654321))
        step = pace / (len(word) + 1)
        spelled = [" ", *word]
        tokens += [Token(c, start + i * step, start + (i + 1) * step, 0.5) for i, c in enumerate(spelled)]
        start += pace + gap
    return Segment(text, words[0].start, words[-1].end, 0.8, tuple(words), tuple(tokens))


def transcript(*segments, duration=60.0):
    return Transcript(" ".join(s.text for s in segments), duration, segments)


SENTENCE = "mtoto mzuri <b> aliongea & akacheka mlimani saa mbili usiku"
SHORT = transcript(segment("ng'ombe wangu", 0.5), segment(SENTENCE, 31.0))
SILENCE = Transcript("", 3.0, ())


def test_plain_text():
    assert write(SHORT, "txt") == f"ng'ombe wangu {SENTENCE}\n"
    assert write(SILENCE, "txt") == "\n"


def test_json_is_the_transcript_in_a_line():
    text = write(SHORT, "json", "clips/x.mp3")
    assert text.count("\n") == 1
    read = json.loads(text)
    assert (read["file"], read["text"], read["duration"]) == ("clips/x.mp3", SHORT.text, 60.0)
    for found, given in zip(read["segments"], SHORT.segments, strict=True):
        assert found["text"] == given.text and found["start"] == given.start
        assert [w["text"] for w in found["words"]] == [w.text for w in given.words]
        assert [t["end"] for t in found["tokens"]] == pytest.approx([t.end for t in given.tokens], abs=0.0006)
    assert read["segments"][0]["words"][0]["confidence"] == 0.8765


def test_ctm_has_a_line_for_each_word():
    rows = [line.split() for line in write(SHORT, "ctm", "in/a clip.mp3").splitlines()]
    assert [row[4] for row in rows] == SHORT.text.split()
    assert {(row[0], row[1]) for row in rows} == {("a_clip", "1")}
    for row, word in zip(rows, SHORT.words, strict=True):
        assert (float(row[2]), float(row[2]) + float(row[3])) == pytest.approx((word.start, word.end), abs=0.002)


@pytest.mark.parametrize("name", [" .mp3", ";;x.mp3", "a b;; c.mp3"])
def test_ctm_has_as_many_fields_whatever_the_recording_is_called(name):
    """A name of spaces, and one that would make the line a comment."""
    assert all(len(row.split()) == 6 and row[:2] != ";;" for row in write(SHORT, "ctm", name).splitlines())


def test_tsv_is_whispers():
    assert write(SHORT, "tsv").splitlines()[:2] == ["start\tend\ttext", "500\t1200\tng'ombe wangu"]


def test_praat_reads_the_textgrid(tmp_path):
    """All layers and confidences are intervals in a grid as long as the audio; marks between words are none."""
    (tmp_path / "a.TextGrid").write_text(write(SHORT, "textgrid"), encoding="utf-8")
    grid = textgrid.openTextgrid(tmp_path / "a.TextGrid", includeEmptyIntervals=False)
    assert grid.tierNames == ("phrases", "words", "tokens", "confidence") and grid.maxTimestamp == 60
    words = grid.getTier("words").entries
    assert [tuple(entry) for entry in words] == [
        (pytest.approx(w.start), pytest.approx(w.end), w.text) for w in SHORT.words
    ]
    assert "".join(entry.label for entry in grid.getTier("tokens").entries) == SHORT.text.replace(" ", "")
    assert {entry.label for entry in grid.getTier("confidence").entries} == {"0.88"}


def test_subtitles_as_players_read_them():
    """Numbers, times with comma or point, markup escaped in WebVTT."""
    blocks = write(SHORT, "srt").strip().split("\n\n")
    assert blocks[0] == "1\n00:00:00,500 --> 00:00:01,500\nng'ombe wangu"  # shown for a second
    assert blocks[1].startswith("2\n00:00:31,000 --> 00:00:3") and "<b> aliongea &" in blocks[1]
    vtt = write(SHORT, "vtt")
    assert vtt.startswith("WEBVTT\n\n00:00:00.500 --> 00:00:01.500\nng'ombe wangu\n\n")
    assert "&lt;b&gt; aliongea &amp;" in vtt
    late = write(transcript(segment("saa", 3723.5), duration=4000), "srt")
    assert late.startswith("1\n01:02:03,500 --> 01:02:04,500\n")


@pytest.mark.parametrize("pace", [0.1, 0.5, 3.0])
def test_long_speech_becomes_readable_subtitles(pace):
    """No subtitle is longer than two lines or seven seconds; nothing gets lost, nothing overlaps."""
    text = " ".join(f"neno{'x' * (i % 13)}" for i in range(70))
    found = cues(transcript(segment(text, pace=pace), duration=1000))
    assert " ".join(" ".join(cue.lines) for cue in found) == text and len(found) > 1
    for cue in found:
        assert len(cue.lines) <= 2 and max(map(len, cue.lines)) <= LINE and cue.end - cue.start <= LONGEST + 1e-6
    assert all(one.end <= other.start for one, other in zip(found, found[1:], strict=False))


def test_subtitles_end_where_the_speaker_pauses():
    first, second = segment("moja mbili tatu", 0.0), segment("nne tano", 4.0)
    words, tokens = first.words + second.words, first.tokens + second.tokens
    both = Segment("moja mbili tatu nne tano", 0, second.end, 0.8, words, tokens)
    assert [cue.lines for cue in cues(transcript(both))] == [("moja mbili tatu",), ("nne tano",)]


def test_subtitles_of_writing_without_spaces():
    """A sentence that is a single word is cut between its tokens."""
    text = "語" * 200
    tokens = tuple(Token(c, 0.1 * i, 0.1 * (i + 1), 0.9) for i, c in enumerate(text))
    whole = Segment(text, 0, 20, 0.9, (Word(text, 0, 20, 0.9),), tokens)
    found = cues(transcript(whole))
    assert "".join("".join(cue.lines) for cue in found) == text
    assert max(len(line) for cue in found for line in cue.lines) <= LINE
    (cue,) = cues(transcript(Segment(text, 0, 20, 0.9, whole.words, ())))  # there is nowhere to cut
    assert cue.lines == (text,)


@pytest.mark.parametrize("format", SUFFIXES)
def test_silence_has_a_file_too(format):
    """Nothing heard is no error, and no word."""
    text = re.sub('DATE="[^"]*"', "", write(SILENCE, format))  # when an ELAN file was written
    assert not re.search(r"ng'ombe|\d\d:\d\d", text)


def test_phrases_have_room():
    """Phrases hold their words, overlap no other and reach as far into pauses as they may; those that are cut stay."""
    rng = random.Random(0)
    for _ in range(200):
        edges = sorted(rng.uniform(0, 20) for _ in range(2 * rng.randint(1, 8)))
        said = tuple(
            Segment("saa", start, end, 1.0, (Word("saa", start, end, 1.0),), ())
            for start, end in zip(edges[::2], edges[1::2], strict=True)
        )
        found = formats.roomy(said, 20.0)
        both = list(zip(found, said, strict=True))
        assert all(0 <= new.start <= old.start and old.end <= new.end <= 20 for new, old in both)
        assert all(a.end <= b.start for a, b in pairwise(found))
        pauses = [after.start - before.end for before, after in pairwise(said)]
        left = [after.start - before.end for before, after in pairwise(found)]
        assert left == pytest.approx([max(0.0, pause - 2 * formats.ROOM) for pause in pauses], abs=1e-9)
        cut = [replace(segment, cut=rng.random() < 0.5) for segment in said]
        (phrases, *_) = formats.document(Transcript("saa", 20.0, tuple(cut))).tiers
        expected = [old if old.cut else new for old, new in zip(cut, found, strict=True)]
        assert [(a.start, a.end) for a in phrases.annotations] == [(s.start, s.end) for s in expected]


def test_phrases_of_several_channels_have_room():
    """Those of a speaker overlap none of his own, however long others speak meanwhile."""
    rng = random.Random(0)
    for _ in range(200):
        said = []
        for speaker in ("left", "right"):
            edges = sorted(rng.uniform(0, 20) for _ in range(2 * rng.randint(1, 6)))
            spans = zip(edges[::2], edges[1::2], strict=True)
            said += [Segment("saa", *span, 1.0, (), (), speaker) for span in spans]
        said.sort(key=lambda segment: segment.start)
        found = formats.roomy(said, 20.0)
        assert all(new.start <= old.start and old.end <= new.end for new, old in zip(found, said, strict=True))
        for speaker in ("left", "right"):
            own = [segment for segment in found if segment.speaker == speaker]
            assert all(a.end <= b.start for a, b in pairwise(own))
