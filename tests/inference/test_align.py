"""A known text gets the times that the model's own path through it has."""

import itertools

import numpy as np
import pytest
import torch
from praatio import textgrid
from torchaudio.functional import forced_align

from serenanet_modules import cli
from serenanet_modules.data.annotations import elan
from serenanet_modules.data.audio import SAMPLE_RATE, load
from serenanet_modules.data.units import train_units
from serenanet_modules.decoding.decoder import Hypothesis
from serenanet_modules.decoding.holes import Holes, holes_of, path
from serenanet_modules.decoding.spans import align, frames_needed, word_groups
from serenanet_modules.errors import UserError
from serenanet_modules.inference import align as module
from serenanet_modules.inference import spelling
from serenanet_modules.inference.align import align_text, spelled
from serenanet_modules.inference.formats import write
from serenanet_modules.inference.recognizer import Recognizer
from tests.support.folders import copy_without, make_random_result
from tests.support.presets import preset


def test_what_the_model_heard_is_where_it_heard_it(recognizer, clips, monkeypatch):
    """Aligning what was heard gives its words, times and confidences, over the pieces of long audio too."""
    units = recognizer.units
    monkeypatch.setitem(recognizer.settings, "piece_seconds", 28.0)  # one cut
    for source in (*clips[:5], long_without_a_label_on_both_sides(recognizer, [load(clip) for clip in clips])):
        (heard,) = recognizer.transcribe([source])
        said = [units.pieces.index("▁" if token.text == " " else token.text) for token in heard.tokens]
        # an untrained model does not say the mark before the first word, which a text always has
        monkeypatch.setattr(module, "spelled", lambda *_, said=said: Hypothesis(said, units.decode(said)))
        aligned = align_text(recognizer, source, "")
        assert heard.tokens and [t.start for t in aligned.tokens] == [t.start for t in heard.tokens]
        assert aligned.tokens == heard.tokens and aligned.duration == pytest.approx(heard.duration)
    assert len(heard.segments) > 1


def long_without_a_label_on_both_sides(recognizer, clips):
    """More than a piece, of clips in an order by which labels at the cut differ: equal ones would be one."""
    for i in range(len(clips)):
        loud = np.concatenate(clips[i:] + clips[:i])
        long = np.concatenate([loud] * (1 + 40 * SAMPLE_RATE // len(loud)))
        (heard,) = recognizer.transcribe([long])
        if not any(a.text == b.text and a.end >= b.start for a, b in itertools.pairwise(heard.tokens)):
            return long
    raise AssertionError("the model says the same on both sides of every cut")


def test_phonemes_are_aligned_by_words(tmp_path):
    """Words are those of the text, their tokens the phones that they are spelled with."""
    folder = make_random_result(tmp_path, preset("serenanet/small"), units="phoneme", texts=["m a | ɓ a"])
    noise = (0.1 * np.random.default_rng(2).standard_normal(3 * SAMPLE_RATE)).astype(np.float32)  # that hears both
    aligned = align_text(Recognizer.from_folder(folder), noise, "Baba, mama!")
    assert [word.text for word in aligned.words] == ["baba", "mama"]
    assert [token.text for token in aligned.tokens] == "ɓ a ɓ a | m a m a".split()
    for word, tokens in zip(aligned.words, (aligned.tokens[:4], aligned.tokens[5:]), strict=True):
        assert (word.start, word.end) == (tokens[0].start, tokens[-1].end)


def test_what_cannot_be_aligned_is_one_sentence(recognizer, clips, tmp_path, monkeypatch):
    for text, words in (
        ("baba" * 200, "no word of the text was found"),
        ("baba Xaqa", "no unit for: q, x; --unknown nearest"),
        (" … ", "the text is empty"),
    ):
        with pytest.raises(UserError, match=words):
            align_text(recognizer, clips[0], text)
    with pytest.raises(UserError, match="no such file"):
        align_text(recognizer, tmp_path / "no.wav", "baba")
    monkeypatch.setattr(module, "MOST_CELLS", 100)
    with pytest.raises(UserError, match="too many to align at once"):
        align_text(recognizer, clips[0], "baba")


@pytest.mark.parametrize(("unknown", "said"), [("skip", "abé naxma"), ("nearest", "abé naxma")])
def test_letters_without_a_unit(unknown, said):
    """Left out, or as the letter without its marks; the words stay as they were written."""
    units = train_units("char", ["abe nama"], None)
    found = spelled(units, "xx", "Abé naxma xx", unknown)
    assert found.text == said and found.words == said.split()
    assert units.decode(found.labels) == {"skip": "ab nama", "nearest": "abe nama"}[unknown]
    with pytest.raises(UserError, match=r"no unit for: x, é \(e\); --unknown"):
        spelled(units, "xx", "Abé naxma xx")
    phones = train_units("phoneme", ["m a | b a"], None)
    assert phones.decode(spelled(phones, "sw", "mama baka", "skip").labels) == "m a m a | a a"


def test_no_word_of_another_script_is_dropped_in_silence(recognizer):
    """Of which the language's rule leaves nothing."""
    with pytest.raises(UserError, match="no unit for: 日, 本"):
        spelled(recognizer.units, "sw", "baba 日本 [kelele]")
    assert spelled(recognizer.units, "sw", "baba 日本 [kelele]", "skip").words == ["baba"]


@pytest.mark.parametrize(
    ("audio", "text", "says"),
    [(".", "baba", ".: there is no such file of audio"), ("a.mp3", "gone.txt", "gone.txt: there is no such file of")],
)
def test_what_is_there_is_asked_first(tiny, clips, tmp_path, monkeypatch, capsys, audio, text, says):
    """A folder is no recording, and what is called as a file is called is no text."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.mp3").write_bytes(clips[0].read_bytes())
    assert cli.main(["align", str(tiny[1]), audio, text]) == 2
    assert says in capsys.readouterr().err


def test_equal_neighbours_need_a_frame_between(recognizer):
    """``saa`` is four tokens, and five frames."""
    assert frames_needed(spelled(recognizer.units, "sw", "saa").labels) == 5


def test_the_command(tiny, clips, tmp_path, capsys):
    """A text or a file of it; a TextGrid and a CTM, beside the audio or where asked."""
    folder = copy_without(tiny[1], tmp_path / "run")
    (tmp_path / "text.txt").write_text("Baba na mama.\n", encoding="utf-8")
    out = tmp_path / "out" / "x.TextGrid"
    assert cli.main(["align", str(folder), str(clips[0]), str(tmp_path / "text.txt"), "--out", str(out)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[:2] == [str(out), str(out.with_suffix(".ctm"))] and printed[2].startswith("3 words, 13 tokens")
    grid = textgrid.openTextgrid(out, includeEmptyIntervals=False)
    assert [entry.label for entry in grid.getTier("words").entries] == ["baba", "na", "mama"]
    assert [line.split()[4] for line in out.with_suffix(".ctm").read_text().splitlines()] == ["baba", "na", "mama"]

    listed = ["--out", str(out), "--format", "words,eaf,json"]
    assert cli.main(["align", str(folder), str(clips[0]), "Baba na mama.", *listed]) == 0
    rows = [line.split("\t") for line in out.with_suffix(".words.tsv").read_text().splitlines()]
    assert rows[0][-1] == "status" and [row[0] for row in rows[1:]] == ["baba", "na", "mama"]
    (document,) = elan.read(out.with_suffix(".eaf"))
    assert (out.parent / document.media[0]).resolve() == clips[0].resolve()  # as it lies from there
    tiers = {tier.name: tier.annotations for tier in document.tiers}
    assert [f"{float(row[3]):.2f}" for row in rows[1:]] == [a.text for a in tiers["confidence"]]
    capsys.readouterr()

    (tmp_path / "clip.mp3").write_bytes(clips[0].read_bytes())
    assert cli.main(["align", str(folder), str(tmp_path / "clip.mp3"), "Baba na mama"]) == 0
    assert (tmp_path / "clip.TextGrid").read_text() == out.read_text() and (tmp_path / "clip.ctm").is_file()
    assert cli.main(["align", str(folder), str(clips[0]), "baba" * 300]) == 2


def spoken(units, words, rng, frame=0.04):
    """Log-probabilities in which words are said, each label in a frame or two with blanks around, 5 % of them misheard.

    Returns
    -------
    log_probs : Tensor
        (T, V).
    times : list of (float, float)
        Of each word, in seconds.
    """
    rows, times = [], []
    for word in words:
        start = None
        for label in units.encode(word):
            said = label if rng.random() > 0.05 else rng.integers(2, units.size)
            if units.pieces[label] != units.boundary and start is None:
                start = len(rows)
            rows += [said] * rng.integers(1, 3)
            end = len(rows)
            rows += [units.blank_id] * rng.integers(1, 4)
        times.append((start * frame, end * frame))
    log_probs = torch.full((len(rows), units.size), 0.1 / units.size)
    log_probs[torch.arange(len(rows)), torch.tensor(rows)] = 0.9
    return log_probs.log(), times


@pytest.fixture
def long_text(recognizer, monkeypatch):
    """Words that are said, their times, and a function that aligns others with them."""
    units, rng = recognizer.units, np.random.default_rng(1)
    letters = [piece for piece in units.pieces if piece.isalpha() and piece.islower() and len(piece) == 1]
    words = ["".join(rng.choice(letters, rng.integers(2, 8))) for _ in range(1500)]
    log_probs, times = spoken(units, words, rng)
    edges = [i * 0.04 for i in range(len(log_probs) + 1)]
    monkeypatch.setattr(module, "_posteriors", lambda *_: (log_probs, edges))
    monkeypatch.setattr(spelling, "normaliser", lambda *_: str)
    return words, times, lambda text: align_text(recognizer, None, " ".join(text))


def test_long_texts_are_aligned_by_parts(long_text, monkeypatch):
    """With 5 % of the words replaced, 95 % of the others are within 100 ms of where they are said."""
    words, times, aligned = long_text
    rng = np.random.default_rng(2)
    replaced = set(rng.choice(len(words), len(words) // 20, replace=False).tolist())
    text = [words[rng.integers(len(words))] if i in replaced else word for i, word in enumerate(words)]
    biggest = []
    monkeypatch.setattr(
        module, "align", lambda p, labels, *more: biggest.append(len(p) * len(labels)) or align(p, labels, *more)
    )
    found = aligned(text)
    unplaced = {word.position for word in found.unplaced}
    assert [w.text for w in found.words] == [w for i, w in enumerate(text) if i not in unplaced]
    assert unplaced <= replaced and len(biggest) > 20
    assert max(biggest) < module.AT_ONCE // 10
    kept = [i for i in range(len(words)) if i not in unplaced]
    off = [
        max(abs(word.start - times[i][0]), abs(word.end - times[i][1]))
        for i, word in zip(kept, found.words, strict=True)
        if i not in replaced
    ]
    print(f"within 100 ms: {np.mean(np.array(off) <= 0.1):.3f}, median {np.median(off):.3f} s")
    assert np.mean(np.array(off) <= 0.1) >= 0.95 and np.median(off) <= 0.04


def test_holes_on_either_side(long_text):
    """A passage that is not said has no place, and is listed; one that is said and not in the text is passed over."""
    words, times, aligned = long_text
    unsaid = [word[::-1] + word for word in words[:60]]
    text = [*words[:400], *unsaid, *words[400:900], *words[960:]]
    found = aligned(text)
    kept = {(w.text, round(w.start, 2)) for w in found.words}
    said = [(w, round(s, 2)) for i, (w, (s, _)) in enumerate(zip(words, times, strict=True)) if not 900 <= i < 960]
    assert sum((w, s) in kept for w, s in said) >= 0.95 * len(said)
    assert {word.text for word in found.unplaced} & set(unsaid) and len(found.unplaced) <= 80
    assert len(found.words) + len(found.unplaced) == len(text)
    assert all(text[word.position] == word.text for word in found.unplaced)
    rows = [line.split("\t") for line in write(found, "words").splitlines()[1:]]
    assert [row[0] for row in rows] == text and {row[-1] for row in rows} >= {"placed", "unplaced"}


WORDS = "mtoto mzuri aliongea akacheka mlimani saa mbili usiku kisu hiki".split()


def test_what_is_not_in_the_text_is_passed_over():
    """Between, before and behind words: these stay where they are said, 95 % of them; without gaps a third do not."""
    units, rng = train_units("char", [" ".join(WORDS)], None), np.random.default_rng(0)
    near = {True: [], False: []}
    for _ in range(20):
        log_probs, times = spoken(units, WORDS, rng)
        unsure = torch.from_numpy(rng.dirichlet(np.full(units.size, 0.05), len(log_probs))).float()
        log_probs = (0.6 * log_probs.exp() + 0.4 * unsure).log()
        said = sorted(rng.choice(len(WORDS), 4, replace=False).tolist())
        labels = units.encode(" ".join(WORDS[i] for i in said))
        for holes in (holes_of(units, labels), None):
            spans, groups = align(log_probs, labels, units.blank_id, holes), word_groups(units, labels)
            starts = [spans[group[0]] and 0.04 * spans[group[0]].start for group in groups]
            near[holes is not None] += [
                start is not None and abs(start - times[i][0]) <= 0.1 for start, i in zip(starts, said, strict=True)
            ]
    print({key: np.mean(value) for key, value in near.items()})
    assert np.mean(near[True]) >= 0.95 > 0.75 > np.mean(near[False])


@pytest.mark.parametrize("kind", ["char", "bpe", "phoneme"])
def test_words_that_are_not_said_have_no_place(kind):
    """Alone and in runs, first, last and between: those that are said have the spans that they have in the right text.

    So it is where words follow without a blank between them; within two frames also where another one is said in the
    gap, whose place one that is not said may take.
    """
    units, rng = _units_of(kind), np.random.default_rng(3)
    for at in range(len(WORDS) + 1):
        written = [*WORDS[:at], *rng.permutation(["lakini", "ya", "vyovyote", "wewe"])[: 1 + at % 3], *WORDS[at:]]
        for said in (WORDS, [*WORDS[:at], "ngoma", *WORDS[at:]]):
            labels = _labels(units, said)
            rows = []
            for label in labels:
                rows += [0] * (rows[-1:] == [label]) + [label] * rng.integers(1, 3)
            log_probs = _sure_of(units, rows, rng)
            right, found = (_words(units, log_probs, text) for text in (WORDS, written))
            if said is WORDS:
                assert [(word, spans) for word, spans in found if spans] == right, (at, written)
            places = [(word, spans[0].start, spans[-1].end) for word, spans in found if spans and word in WORDS]
            assert [word for word, *_ in places] == WORDS, (at, written)
            for (_, spans), (_, start, end) in zip(right, places, strict=True):
                assert abs(spans[0].start - start) <= 2 and abs(spans[-1].end - end) <= 2, (at, written)
    with_blanks = _sure_of(units, [0, *_labels(units, WORDS), 0, 0], rng)
    assert all(span is None for _, span in _words(units, with_blanks[-2:], ["vyovyote", "wewe"]))


def _units_of(kind):
    text = " ".join([*WORDS, "lakini ya vyovyote wewe ngoma"])
    if kind == "phoneme":
        return train_units(kind, [" | ".join(" ".join(word) for word in text.split())], None)
    return train_units(kind, [text], 40 if kind == "bpe" else None)


def _labels(units, words):
    return units.encode(" | ".join(map(" ".join, words)) if units.kind == "phoneme" else " ".join(words))


def _sure_of(units, rows, rng):
    noise = rng.dirichlet(np.full(units.size, 0.05), len(rows))
    log_probs = 0.9 * torch.eye(units.size)[torch.tensor(rows)] + 0.1 * torch.from_numpy(noise).float()
    return log_probs.clamp(min=1e-6).log()


def _words(units, log_probs, words):
    """(word, its spans or None) of each."""
    labels = _labels(units, words)
    spans = align(log_probs, labels, units.blank_id, holes_of(units, labels))
    groups = [[spans[i] for i in group] for group in word_groups(units, labels)]
    assert all(None not in group or not any(group) for group in groups)
    return [(word, group if group[0] else None) for word, group in zip(words, groups, strict=True)]


def test_the_path_is_the_best_of_all_texts_of_fewer_words():
    """Its score is the best that CTC's own best path has for any of them, less their prices."""
    rng = np.random.default_rng(0)
    for labels, chain in (
        ([1, 2, 1], [(0, 0.0), (1, 4.0), (3, 6.0)]),
        ([1, 2, 1, 3, 1, 2], [(0, 0.0), (2, 6.0), (4, 5.0), (6, 7.0)]),
    ):
        for _ in range(30):
            log_probs = torch.from_numpy(rng.normal(0, 2, (9, 4))).float().log_softmax(1)
            found = path(log_probs, labels, 0, Holes(set(), [chain]))
            parts = [(range(i, j), price) for (i, _), (j, price) in itertools.pairwise(chain)]
            scores = [
                _score(log_probs, [labels[i] for part, _ in kept for i in part])
                - sum(price for part in parts if part not in kept for price in part[1:])
                for size in range(len(parts) + 1)
                for kept in itertools.combinations(parts, size)
            ]
            got = log_probs.gather(1, found.labels[:, None]).sum().item()
            got -= sum(price for part, price in parts if part[0] not in found.placed)
            assert got == pytest.approx(max(scores), abs=1e-4)


def _score(log_probs, labels):
    if not labels:
        return log_probs[:, 0].sum().item()
    return forced_align(log_probs.unsqueeze(0), torch.tensor([labels], dtype=torch.int32), blank=0)[1].sum().item()


def test_without_holes_the_path_is_the_best_one():
    rng = np.random.default_rng(0)
    for labels in ([1], [2, 2, 1], [3, 1, 3, 3]):
        log_probs = torch.from_numpy(rng.normal(0, 2, (12, 4))).float().log_softmax(1)
        best = forced_align(log_probs.unsqueeze(0), torch.tensor([labels], dtype=torch.int32), blank=0)[0][0]
        found = path(log_probs, labels, 0, Holes(set(), []))
        assert found.labels.tolist() == best.tolist() and found.placed == [*range(len(labels))]
