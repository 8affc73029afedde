"""A folder is scored on any corpus as its training scored it on its own."""

import csv
import json
import math
import shutil
from dataclasses import asdict, replace

import pytest
from safetensors.torch import load_file, save_file

from serenanet_modules import cli
from serenanet_modules.analysis.reliability import reliability
from serenanet_modules.analysis.scoring import score
from serenanet_modules.data.manifest import Utterance, read_manifest, write_manifest
from serenanet_modules.data.units import load_units
from serenanet_modules.decoding.greedy import collapse
from serenanet_modules.inference.evaluate import SetScore, report
from serenanet_modules.inference.hearing import Hearing, Said
from serenanet_modules.inference.recognizer import Recognizer
from serenanet_modules.runs.dev import read_dev
from tests.support import layouts
from tests.support.families import CONMAMBA, make_result
from tests.support.folders import copy_without
from tests.support.tiny import ROOT, SAMPLE, prepared_manifest, read_tsv, write_tsv

RECIPE = ROOT / "recipes/CommonVoice/sw"
WEIGHTS = ("lm_weight", "word_score")


@pytest.fixture
def evaluate(capsys):
    """``evaluate(*arguments) -> (status, stdout, stderr)``."""

    def run(*arguments):
        capsys.readouterr()
        status = cli.main(["evaluate", *map(str, arguments)])
        return status, *capsys.readouterr()

    return run


def of_training(folder, split, decoder):
    return json.loads((folder / "result.json").read_text())["results"][split][decoder]


def scores(folder):
    return json.loads((folder / "scores.json").read_text())["results"]


def test_a_speech_llm(evaluate, speech_llm_folder, tmp_path):
    """Texts are the recogniser's, with the context that is told."""
    write_tsv(tmp_path / "few.tsv", read_tsv(SAMPLE / "test.tsv")[:2])
    told = ("--data-folder", SAMPLE / "clips", "--context", "Wanjiku", "--out", tmp_path / "out")
    status, printed, _ = evaluate(speech_llm_folder, tmp_path / "few.tsv", *told)
    assert status == 0 and "llm/greedy" in printed
    with open(tmp_path / "out/decoded_test.csv", encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file))
    clip = next((SAMPLE / "clips").glob(f"{row['id']}*"))
    used = json.loads((tmp_path / "out/scores.json").read_text(encoding="utf-8"))
    assert (used["context"], used["beam_size"], used["decoding_ctc_weight"]) == ("Wanjiku", 1, 0.0)
    model = Recognizer.from_folder(speech_llm_folder, context="Wanjiku")
    assert (
        row["hypothesis"]
        == model.transcribe(clip).text
        != Recognizer.from_folder(speech_llm_folder).transcribe(clip).text
    )


@pytest.mark.parametrize("split, more, decoder", [("test", (), "greedy"), ("dev", ("--lm", "auto"), "prefix-beam+lm")])
def test_a_recipes_corpus(evaluate, tiny, tmp_path, split, more, decoder):
    """Rates, counts and intervals are those of the training's evaluation; files hold what they were made of."""
    corpus, folder = tiny
    out = tmp_path / "out"
    status, printed, _ = evaluate(folder, RECIPE, "--data_folder", corpus, "--split", split, "--out", out, *more)
    name = "test" if split == "test" else "test-dev"
    expected = of_training(folder, split, f"decoder/{decoder}")
    assert status == 0 and scores(out) == {name: expected}
    for measure, rate in expected.items():
        (line,) = [line for line in printed.splitlines() if line.split()[:2] == [name, measure]]
        found = line.split()
        assert float(found[2]) == pytest.approx(rate["percent"], abs=0.006)
        assert [int(n) for n in found[6:9]] == [rate[kind] for kind in ("substitutions", "deletions", "insertions")]
    trained = json.loads((folder / "result.json").read_text())["confidence"][f"decoder/{decoder}"]["sets"][split]
    found = json.loads((out / "scores.json").read_text())["confidence"][name]
    assert found == {"decoder": f"decoder/{decoder}", **trained} and found["raw"]["words"] > 0
    (line,) = [line.split() for line in printed.splitlines() if f"decoder/{decoder} " in line]
    assert line[:4] == [name, f"decoder/{decoder}", "raw", str(found["raw"]["words"])]
    assert float(line[6]) == pytest.approx(found["raw"]["ece"], abs=0.0006)
    chosen, used = (
        json.loads((folder / "result.json").read_text())["decoding"],
        json.loads((out / "scores.json").read_text()),
    )
    assert {name: used[name] for name in WEIGHTS} == {name: chosen[name] if more else None for name in WEIGHTS}
    assert (used["nbest"], used["digits"], used["hotwords"]) == (1, False, {})
    with open(out / f"decoded_{name}.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 and all(row["reference"] for row in rows)
    assert (out / f"wer_{name}.txt").read_text().startswith("%WER ")


def test_what_is_kept_of_dev(tiny):
    """Is what was decoded and scored, for language models that come later."""
    _, folder = tiny
    units, rows = load_units(folder / "save/units"), csv.DictReader((folder / "decoded_dev.csv").open(encoding="utf-8"))
    kept = [
        (known.text, [units.decode(collapse(row.log_probs.argmax(1).tolist())[0]) for row in known.rows])
        for known in read_dev(folder)
    ]
    decoded = [(row["reference"], row["decoder/greedy"]) for row in rows]
    assert sorted((text, " ".join(filter(None, texts))) for text, texts in kept) == sorted(decoded)


def test_lists_of_texts(evaluate, tiny, tmp_path):
    """The best text of each list is no worse than the first, and the lists are those of the recogniser."""
    corpus, folder = tiny
    out, asked = tmp_path / "out", ("--nbest", "4", "--hotwords", "saa")
    status, printed, _ = evaluate(folder, RECIPE, "--data_folder", corpus, "--out", out, *asked)
    used = json.loads((out / "scores.json").read_text())
    assert (used["nbest"], used["hotwords"], used["lm_weight"]) == (4, {"saa": 1.5}, None)
    found, rows = scores(out)["test"], list(csv.DictReader((out / "nbest_test.csv").open(encoding="utf-8")))
    assert status == 0 and found["oracle"]["percent"] <= found["WER"]["percent"]
    assert f"oracle WER {found['oracle']['percent']:.2f} (the best text of each list)" in printed
    decoded = {
        row["id"]: row["hypothesis"] for row in csv.DictReader((out / "decoded_test.csv").open(encoding="utf-8"))
    }
    assert {row["id"]: row["text"] for row in rows if row["rank"] == "1"} == decoded
    assert {row["rank"] for row in rows} == {"1", "2", "3", "4"}
    first = [row for row in rows if row["id"] == rows[0]["id"]]
    scored = [float(row["score"]) for row in first]
    assert scored == sorted(scored, reverse=True)
    shares = [math.exp(score - scored[0]) / sum(math.exp(s - scored[0]) for s in scored) for score in scored]
    assert [float(row["probability"]) for row in first] == pytest.approx(shares, abs=2e-4)


def test_manifests(evaluate, tiny, tmp_path):
    """A prepared manifest, a release's list, one's own without splits, and one with a bad file, which is left out."""
    corpus, folder = tiny
    prepared = prepared_manifest(corpus, folder)
    expected = of_training(folder, "test", "decoder/greedy")
    assert evaluate(folder, prepared, "--out", tmp_path / "a")[0] == 0
    assert scores(tmp_path / "a") == {"test": expected}

    assert evaluate(folder, corpus / "test.tsv", "--out", tmp_path / "c")[0] == 0  # of files in clips/
    assert scores(tmp_path / "c") == {"test": expected}

    rows = read_manifest(prepared, "test")
    lines = ["path,text", *(f"{prepared.parent / u.path},{u.text.upper()}!" for u in rows)]
    (tmp_path / "own.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert evaluate(folder, tmp_path / "own.csv", "--out", tmp_path / "b")[0] == 0
    assert scores(tmp_path / "b") == {"test": expected}

    (tmp_path / "own.csv").write_text("\n".join([*lines, "absent.wav,baba"]) + "\n", encoding="utf-8")
    status, printed, _ = evaluate(folder, tmp_path / "own.csv")
    assert status == 0 and "3 utterances" in printed and "left out of test: 1 missing" in printed


def test_phonemes_are_scored_as_phones_and_words(evaluate, phonemic, tmp_path):
    """With the lexicon words count too; without it the greedy phones are those of the training."""
    corpus, folder = phonemic
    arguments = (RECIPE, "--data_folder", corpus, "--out", tmp_path / "out")
    assert evaluate(folder, *arguments)[0] == 0
    words = scores(tmp_path / "out")["test"]
    assert set(words) == {"WER", "CER", "PER"}
    assert {m: words[m] for m in ("WER", "CER")} == of_training(folder, "test", "decoder/lexicon-beam")

    phones = copy_without(folder, tmp_path / "run", "save/lexicon.tsv")
    shutil.rmtree(tmp_path / "out")
    assert evaluate(phones, *arguments)[0] == 0
    assert scores(tmp_path / "out") == {"test": of_training(folder, "test", "decoder/greedy")}


def test_refusals(evaluate, tiny, tmp_path):
    corpus, folder = tiny
    (tmp_path / "m.csv").write_text("path,text,split\na.wav,baba,dev\nb.wav,mama,train\n")
    for arguments, words in (
        ((RECIPE,), "--data_folder"),
        ((RECIPE, "--data_folder", corpus, "--split", "test-other"), "--split may be dev, test, train"),
        ((tmp_path / "m.csv",), "holds no test utterances; --split may be dev, train"),
        ((tmp_path / "m.csv", "--language", "sw"), "was trained for one language"),
        ((tmp_path / "no.csv",), "no such file"),
    ):
        status, out, err = evaluate(folder, *arguments)
        assert (status, out) == (2, "") and words in err and err.count("\n") == 1


def test_an_interrupted_evaluation_goes_on_with_the_next_set(evaluate, tiny, tmp_path, monkeypatch):
    """Sets that were recognised are read again, by the same weights and decoding only."""
    corpus, folder = tiny
    rows = read_manifest(prepared_manifest(corpus, folder), "test")
    names = ["test-a", "test-a", "test-b"]
    manifest = tmp_path / "manifest.csv"
    root = prepared_manifest(corpus, folder).parent
    moved = [replace(u, path=str(root / u.path), split=name) for u, name in zip(rows, names, strict=True)]
    write_manifest(manifest, moved)
    heard, transcribe = [], Recognizer.transcribe

    def counted(self, sources, *arguments):
        if len(heard) == 1:
            heard.append("interrupted")
            raise KeyboardInterrupt
        heard.append(len(sources))
        return transcribe(self, sources, *arguments)

    monkeypatch.setattr(Recognizer, "transcribe", counted)
    out = ("--out", tmp_path / "out")
    assert evaluate(folder, manifest, *out)[0] == 130
    assert evaluate(folder, manifest, *out)[0] == 0 and heard == [2, "interrupted", 1]
    assert list(scores(tmp_path / "out")) == ["test-a", "test-b"]
    assert evaluate(folder, manifest, *out)[0] == 0 and heard == [2, "interrupted", 1]
    first = scores(tmp_path / "out")
    assert evaluate(folder, manifest, *out, "--lm", "auto")[0] == 0 and heard[3:] == [2, 1]
    other = copy_without(folder, tmp_path / "other")
    weights = load_file(other / "weights.safetensors")
    save_file({name: tensor * 1.5 for name, tensor in weights.items()}, other / "weights.safetensors")
    assert evaluate(other, manifest, *out)[0] == 0 and heard[5:] == [2, 1]
    assert scores(tmp_path / "out") != first


@pytest.mark.parametrize("split", ["test", "dev"])
def test_languages_of_fleurs(evaluate, split, tmp_path):
    """A table by language, to read and as files; one of which nothing can be heard is left out and listed."""
    broken = {"de_de": "missing", "fr_fr": "undecodable", "sw_ke": None}
    for language, sentences in {**layouts.SCRIPTS, **dict.fromkeys(broken, layouts.SENTENCES)}.items():
        place = layouts.fleurs(tmp_path, language, sentences) / "data" / language
        for wav in place.rglob("*.wav") if language in broken else ():
            wav.write_text("no audio") if language == "fr_fr" else wav.unlink()
    (tmp_path / f"data/sw_ke/{split}.tsv").write_text("")
    folder = make_result(tmp_path / "run", "conmamba_causal/small", *CONMAMBA)
    asked = (folder, ROOT / "recipes/FLEURS", "--data_folder", tmp_path, "--split", split)
    asked += ("--language", ",".join([*layouts.SCRIPTS, *broken]))
    status, printed, _ = evaluate(*asked, "--out", tmp_path / "out")
    name = "test" if split == "test" else "test-dev"
    assert status == 0 and list(scores(tmp_path / "out")) == [f"{name}-{code}" for code in layouts.SCRIPTS]
    for code in ("de_de", "fr_fr"):
        assert f"left out of {name}-{code}: 2 {broken[code]}" in printed
    rows = list(csv.DictReader((tmp_path / "out/languages.csv").open(encoding="utf-8")))
    assert {row["code"]: float(row["score"]) for row in rows if row["score"]} == {
        code: scores(tmp_path / "out")[f"{name}-{code}"]["CER" if code == "th_th" else "WER"]["percent"]
        for code in layouts.SCRIPTS
    }
    assert f"\n{split}, decoder/greedy, 3 language(s)\n" in (tmp_path / "out/languages.md").read_text(encoding="utf-8")
    table, _, files = printed[printed.index("\nregion ") :].partition("by language: ")
    assert "\nnot measured: sw_ke, fr_fr, de_de\n" in table and files == f"{tmp_path}/out/languages.md\n"
    status, printed, _ = evaluate(*asked)
    assert status == 0 and printed.endswith(table)


def test_librispeech_in_one_command(evaluate, tiny, tmp_path):
    """Both test sets by name, on texts as the corpus writes them, without its training audio."""
    layouts.librispeech(tmp_path / "LibriSpeech", ("test-clean", "test-other"))
    (lines,) = (tmp_path / "LibriSpeech/test-clean").rglob("*.trans.txt")
    lines.write_text(lines.read_text().replace("KUKU", "'TIS O'").replace("MBWA", "MISTER"))
    status, printed, _ = evaluate(
        tiny[1], ROOT / "recipes/LibriSpeech", "--data_folder", tmp_path, "--out", tmp_path / "out"
    )
    assert status == 0 and list(scores(tmp_path / "out")) == ["test-clean", "test-other"]
    with open(tmp_path / "out/decoded_test-clean.csv", encoding="utf-8", newline="") as file:
        references = [row["reference"] for row in csv.DictReader(file)]
    assert any(text.startswith("'tis o' ") for text in references)
    assert "WER" in printed


def test_errors_that_are_only_a_space_are_told():
    """A line for each set that has some, of words."""
    said = {"a": ("watu wawili", "watuwawili"), "b": ("watu wawili", "watu wawil")}
    bins = reliability([], [])
    sets = {
        name: SetScore(
            [Utterance("u", "u.flac", 1.0, text, "", "s", "sw", "test")],
            *({"u": heard}, {}, {"WER": score({"u": text}, {"u": heard})}, "decoder/greedy", "raw", bins),
        )
        for name, (text, heard) in said.items()
    }
    lines = list(report(sets, {"splits": {}}, 1.0))
    assert "a: 2 of 2 word errors (100.0 %) are only a space; WER without them 0.00" in lines
    assert not [line for line in lines if line.startswith("b:")]


def test_loops_and_empty_texts_are_told(evaluate, speech_llm_folder, tmp_path, monkeypatch):
    """Of any decoder: what is said is true of one that decodes anew and of one that is stopped."""
    write_tsv(tmp_path / "few.tsv", read_tsv(SAMPLE / "test.tsv")[:3])
    said = iter([Said("mama mama", "", [], False, loops=2), Said("", "", [], False), Said("", "", [], False)])
    heard = {"seconds": 1.0, "utterances": None}
    monkeypatch.setattr(
        Hearing, "_heard", lambda _, rows, *more: {**heard, "utterances": {u.id: asdict(next(said)) for u in rows}}
    )
    told = ("--data-folder", SAMPLE / "clips", "--out", tmp_path / "out")
    status, printed, _ = evaluate(speech_llm_folder, tmp_path / "few.tsv", *told)
    assert status == 0 and "test: 2 pieces went round in a loop; what was said again is left out" in printed
    assert "test: nothing was written of 2 utterances" in printed
    found = json.loads((tmp_path / "out/scores.json").read_text(encoding="utf-8"))
    assert (found["loops"], found["empty"]) == ({"test": 2}, {"test": 2})
