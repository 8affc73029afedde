"""Pseudo-labels are what the recogniser heard in each piece, kept where it is sure and nothing is held out."""

import csv
import hashlib
import io
import json
import shutil
import sys

import numpy as np
import pytest
import soundfile

from serenanet_modules import cli
from serenanet_modules.data.audio import SAMPLE_RATE, load
from serenanet_modules.data.custom import candidates
from serenanet_modules.data.manifest import read_manifest
from serenanet_modules.decoding import ngram
from serenanet_modules.decoding.confidence import Calibration
from serenanet_modules.inference.pseudo_labels import COLUMNS
from serenanet_modules.inference.recognizer import Recognizer
from tests.support.families import FAMILIES, make_language_model, make_result
from tests.support.folders import calibrate, copy_without
from tests.support.tiny import Run, command, prepared_manifest, read_tsv


@pytest.fixture(scope="module")
def radio(tiny, tmp_path_factory):
    """A folder of recordings: clips of train under other names, the long one of several with silence behind."""
    folder, corpus = tmp_path_factory.mktemp("radio"), tiny[0]
    clips = [corpus / "clips" / row["path"] for row in read_tsv(corpus / "train.tsv")]
    (folder / "amina").mkdir()
    for i in range(3):
        shutil.copy(clips[i], folder / "amina" / f"short{i}.mp3")
    long = np.concatenate([load(clip) for clip in clips[3:9]] + [np.zeros(12 * SAMPLE_RATE, np.float32)])
    soundfile.write(folder / "long.flac", long, SAMPLE_RATE)
    return folder


@pytest.fixture
def pseudo_label(tiny, tmp_path, capsys):
    """``pseudo_label(*arguments, out=…) -> (status, stdout, stderr, rows)`` of the command."""

    def run(*arguments, out=tmp_path / "pseudo.csv", least=0, model=tiny[1]):
        capsys.readouterr()
        line = ["pseudo-label", model, *arguments, "--out", out, "--min-confidence", least]
        status = cli.main([*map(str, line)])
        rows = list(csv.DictReader(out.open(encoding="utf-8", newline=""))) if status in (0, 1) else []
        return status, *capsys.readouterr(), rows

    return run


def refused(result, *words):
    status, out, err, _ = result
    assert (status, out) == (2, "") and err.startswith("error: ") and err.count("\n") == 1
    assert all(word in err for word in words), err


def test_every_piece_is_a_row(pseudo_label, recognizer, tiny, radio):
    """With the text that the piece alone would have; the pieces of a recording are the whole of it."""
    status, out, _, rows = pseudo_label(radio)
    assert status == 0 and tuple(rows[0]) == COLUMNS
    short, long = ([row for row in rows if name in row["path"]] for name in ("short", "long"))
    assert [(row["id"], row["speaker"], row["start"], row["end"]) for row in short] == [
        (f"amina-short{i}", "amina", "", "") for i in range(3)
    ]
    assert [row["text"] for row in short] == [t.text for t in recognizer.transcribe([row["path"] for row in short])]
    assert len(long) > 2 and float(long[0]["start"]) == 0
    assert all(a["end"] == b["start"] for a, b in zip(long, long[1:], strict=False))
    samples, most = load(radio / "long.flac"), recognizer.settings["piece_seconds"]
    cut = [samples[round(float(row["start"]) * SAMPLE_RATE) : round(float(row["end"]) * SAMPLE_RATE)] for row in long]
    assert [row["text"] for row in long] == [t.text for t in recognizer.transcribe(cut)]
    assert all(len(part) <= most * SAMPLE_RATE for part in cut) and "nothing said" in out
    assert len({row["id"] for row in rows}) == len(rows)
    weights = hashlib.sha256((tiny[1] / "weights.safetensors").read_bytes()).hexdigest()
    assert {(row["model_sha256"], row["split"], row["locale"]) for row in rows} == {(weights, "train", "sw")}
    assert {row["labelled_by"] for row in rows} == {"/".join(tiny[1].parts[-3:])}


def test_what_the_model_is_not_sure_of(pseudo_label, radio):
    """Only that is left out, and counted."""
    _, _, _, rows = pseudo_label(radio)
    confidences = sorted(float(row["confidence"]) for row in rows)
    least = (confidences[2] + confidences[3]) / 2
    status, out, _, kept = pseudo_label(radio, least=least)
    assert status == 0 and kept == [row for row in rows if float(row["confidence"]) > least]
    assert f"3 with a confidence below {least:g}" in out and f"{len(rows) - 3} pieces" in out
    none = pseudo_label(radio, least=1)
    refused(none, "no piece", f"{len(rows)} with a confidence below 1", f"the surest has {confidences[-1]:.3f}")
    advised = float(none[2].partition("such as ")[2].partition(":")[0])
    assert pseudo_label(radio, least=advised)[3]
    refused(pseudo_label(radio, least=1.5), "--min-confidence 1.5")


def test_what_confidences_were_calibrated_with(pseudo_label, tiny, radio, tmp_path):
    """A note says where they are raw, and where dev had another language model."""
    assert "note: the confidences of this decoder are not calibrated" in pseudo_label(radio / "amina")[1]
    found = Calibration({"posterior": 1.0}, 0.0)
    model = calibrate(copy_without(tiny[1], tmp_path / "run"), **{"greedy": found, "prefix-beam+lm": found})
    other = shutil.copy(model / "save/lm.arpa", tmp_path / "other.arpa")
    for more in ((), ("--lm", "auto"), ("--lm", model / "save/lm.arpa")):
        assert "note:" not in pseudo_label(radio / "amina", *more, model=model)[1]
    said = pseudo_label(radio / "amina", "--lm", other, model=model)[1]
    assert f"note: dev has calibrated the confidences with another language model than {other}" in said


def test_what_is_held_out(pseudo_label, tiny, radio, tmp_path):
    """Recordings, ids, speakers and sentences of dev and test, in the audio itself or by a manifest's split."""
    corpus = tiny[0]
    status, out, _, rows = pseudo_label(corpus / "clips", "--exclude", corpus)
    dev_and_test = [row for split in ("dev", "test") for row in read_tsv(corpus / f"{split}.tsv")]
    assert status == 0 and "6 recording of dev or test" in out
    assert not {row["path"].rpartition("/")[2] for row in rows} & {row["path"] for row in dev_and_test}
    assert len({row["path"] for row in rows}) == 12
    copied = tmp_path / dev_and_test[0]["path"]
    shutil.copy(corpus / "clips" / copied.name, copied)
    listed = tmp_path / "held.jsonl"
    lines = [
        {"path": "a.wav", "text": rows[0]["text"].upper()},
        {"path": "b.wav", "text": "x", "speaker": "amina"},
        {"path": copied.name, "text": "y"},
    ]
    listed.write_text("\n".join(json.dumps({**line, "split": "test"}) for line in lines))
    again = corpus / "clips" / rows[0]["path"].rpartition("/")[2]
    (tmp_path / "sub").mkdir()
    shutil.copy(corpus / "clips" / rows[-1]["path"].rpartition("/")[2], tmp_path / "sub" / copied.name)
    shutil.copy(copied, tmp_path / "sub/renamed.mp3")
    arguments = (radio, again, tmp_path / "sub", corpus / "dev.tsv", "--exclude", listed)
    _, out, _, rows = pseudo_label(*arguments)
    assert {row["path"].rpartition("/")[2] for row in rows} == {"long.flac"}
    for told in ("3 in a dev or test set", "3 speaker", "1 sentence", "1 id", "1 recording"):
        assert told in out


def test_manifests_and_lists(pseudo_label, recognizer, radio, tmp_path, monkeypatch):
    """Segments of a recording are read as they are, and a broken recording costs no other."""
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    spans = [(2.0, 4.5), (0.5, 2.0), (5.0, 15.0)]
    lines = [{"id": f"s{i}", "path": str(radio / "long.flac"), "start": a, "end": b} for i, (a, b) in enumerate(spans)]
    lines += [{"id": "bad", "path": str(tmp_path / "broken.wav"), "start": 1, "end": 2, "speaker": "x"}]
    (tmp_path / "audio.jsonl").write_text("\n".join(map(json.dumps, lines)))
    listed = io.TextIOWrapper(io.BytesIO(f"{radio}/amina/short0.mp3\n{radio}/amina/short0.mp3\n".encode()))
    monkeypatch.setattr(sys, "stdin", listed)
    status, _, err, rows = pseudo_label(tmp_path / "audio.jsonl", "-")
    assert status == 1 and "broken.wav" in err and err.count("\n") == 1
    found = {row["id"]: row for row in rows}
    samples = load(radio / "long.flac")
    for name, (start, end) in list(zip(("s0", "s1"), spans, strict=False)):
        part = samples[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]
        assert found[name]["text"] == recognizer.transcribe([part])[0].text
        assert (float(found[name]["start"]), float(found[name]["end"])) == (start, end)
    pieces = [row for row in rows if row["id"].startswith("s2-")]
    assert float(pieces[0]["start"]) == 5.0 and float(pieces[-1]["end"]) == 15.0 and len(pieces) > 1
    assert [row["id"] for row in rows if row["path"].endswith("short0.mp3")] == ["short0"]


def test_a_labelling_that_was_stopped_goes_on(pseudo_label, radio, tmp_path, monkeypatch):
    """What was heard is not heard again, half a line is none; another model, language model or weight begins anew."""
    *_, want = pseudo_label(radio, out=tmp_path / "whole.csv")
    heard, read = Recognizer.heard, []

    def stopped(self, sources, *options):
        for number, found in enumerate(heard(self, sources, *options)):
            if number == stop:
                raise KeyboardInterrupt
            read.append(found[0])
            yield found

    monkeypatch.setattr(Recognizer, "heard", stopped)
    out, stop = tmp_path / "pseudo.csv", 2
    kept = tmp_path / "pseudo.csv.heard"
    assert pseudo_label(radio, out=out)[0] == 130 and not out.exists()
    whole = kept.read_bytes()
    other = [whole.replace(b'"lm": null', b'"lm": "x"'), whole.replace(b"lm_weight=None", b"lm_weight=1.0")]
    other += [whole.replace(b'"quantize": null', b'"quantize": "int8"')]
    for content, again in ((whole, 2), (whole[:-5], 3), *((content, 4) for content in other)):
        kept.write_bytes(content)
        read.clear()
        stop = None
        status, *_, rows = pseudo_label(radio, out=out)
        assert (status, rows, len(read)) == (0, want, again)
        assert not kept.exists()
    shutil.copytree(radio, tmp_path / "radio")
    kept.write_bytes(whole)
    read.clear()
    assert pseudo_label(tmp_path / "radio", out=out)[0] == 0 and len(read) == 4


def test_a_retrained_language_model_begins_anew(pseudo_label, radio, tmp_path, monkeypatch):
    """Other weights in the same folder are another model, and so is another n-gram model in the recogniser's own."""
    name, *sizes = FAMILIES["conformer-hybrid"]
    model, out = make_result(tmp_path / "model", name, *sizes), tmp_path / "pseudo.csv"
    lm, own = make_language_model(tmp_path / "lm", model), model / "save/lm.arpa"
    heard, read = Recognizer.heard, []

    def broken_off(self, sources, *options):
        for number, found in enumerate(heard(self, sources, *options)):
            if number == stop:
                raise KeyboardInterrupt
            read.append(found)
            yield found

    def change(how):
        if how == "auto":
            ngram.estimate([f"mama {len(read)} anakula"], 2, own)
        else:
            make_language_model(tmp_path / "lm", model, seed=1)

    monkeypatch.setattr(Recognizer, "heard", broken_off)
    ngram.estimate(["mama anakula"], 2, own)
    for how in (lm, "auto"):
        for changes, expected in ((False, 2), (True, 3)):
            stop = 1
            given = (radio / "amina", "--lm", how, "--beam-size", 1)
            assert pseudo_label(*given, model=model, out=out)[0] == 130
            stop = None
            if changes:
                change(how)
            read.clear()
            assert pseudo_label(*given, "--force", model=model, out=out)[0] == 0
            assert len(read) == expected
            out.unlink()


def test_of_nothing_no_manifest_is_written(pseudo_label, radio, tmp_path):
    """One sentence, and what an earlier command wrote stays; amounts are those of small sets, too."""
    _, out, *_ = pseudo_label(radio / "amina" / "short0.mp3")
    assert ": 1 piece, " in out and " h, by" not in out
    before = (tmp_path / "pseudo.csv").read_bytes()
    refused(pseudo_label("misspelt"), "misspelt: there is no such file or folder")
    (tmp_path / "list.csv").write_text("path\na.wav\nb.wav\n")
    refused(
        pseudo_label(tmp_path / "list.csv"), "a.wav: there is no such file or folder; none of the 2 recordings is there"
    )
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    status, out, err, _ = pseudo_label(tmp_path / "broken.wav")
    assert (status, out) == (1, "") and "broken.wav" in err and err.count("\n") == 1
    assert (tmp_path / "pseudo.csv").read_bytes() == before


def test_files_that_are_not_written(pseudo_label, phonemic, radio, tmp_path):
    mine = tmp_path / "mine.csv"
    mine.write_text("path,text\na.wav,habari\n")
    refused(pseudo_label(radio, out=mine), "mine.csv", "not made by this command")
    assert mine.read_text() == "path,text\na.wav,habari\n"
    refused(pseudo_label(radio, out=tmp_path / "pseudo.txt"), "ends in .csv")
    (phonemic[1] / "save/lexicon.tsv").rename(tmp_path / "lexicon.tsv")
    try:
        refused(pseudo_label(radio, model=phonemic[1]), "writes phonemes, no words")
    finally:
        (tmp_path / "lexicon.tsv").rename(phonemic[1] / "save/lexicon.tsv")


def test_it_is_trained_on(pseudo_label, tiny, radio, tmp_path):
    """The manifest of one round is pooled with the corpus in the next, with its weight, and its pieces are cut."""
    corpus = shutil.copytree(tiny[0], tmp_path / "sw")
    *_, rows = pseudo_label(radio)
    found = candidates(tmp_path / "pseudo.csv", "sw")
    assert [(c.id, c.labelled_by) for c in found] == [(row["id"], row["labelled_by"]) for row in rows]
    line = command(corpus, tmp_path / "run", "--number_of_epochs", 1, "--pseudo_weight", 0.3)
    line[line.index("--data_folder") + 1 : line.index("--data_folder") + 2] = [
        str(corpus),
        str(tmp_path / "pseudo.csv"),
    ]
    run = Run(line, tmp_path / "run").done()
    manifest = prepared_manifest(corpus, run.folder)
    labelled = {u.id: u for u in read_manifest(manifest, "train") if u.labelled_by}
    assert (
        labelled and labelled.keys() <= {row["id"] for row in rows} and {u.weight for u in labelled.values()} == {0.3}
    )
    for u in labelled.values():
        row = next(row for row in rows if row["id"] == u.id)
        if row["end"]:
            assert u.duration == pytest.approx(float(row["end"]) - float(row["start"]), abs=1e-3)
