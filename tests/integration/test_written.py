"""Units that keep capitals and punctuation: trained, scored in both ways, with language models, used."""

import csv
import json

import pytest

from serenanet_modules import cli
from serenanet_modules.analysis.scoring import score
from serenanet_modules.data.text import Style, normaliser
from serenanet_modules.data.units import load_units
from serenanet_modules.inference.recognizer import Recognizer
from tests.support.folders import make_corpus_and_result
from tests.support.tiny import ROOT

MEASURES = ("WER", "CER", "WER normalised", "CER normalised")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """(corpus, result folder)."""
    return make_corpus_and_result(
        tmp_path_factory.mktemp("written"), "--text_case", "keep", "--punctuation", "keep", "--lm_order", 2
    )


def test_a_training_that_keeps_them(written):
    """Units, references and the n-grams have capitals and marks; rates are of texts as they are, and normalised."""
    corpus, folder = written
    rows = list(csv.DictReader((folder / "decoded_test.csv").open(encoding="utf-8")))
    keep, plain = normaliser("sw", Style("keep", "keep")), normaliser("sw")
    sentences = {
        row["sentence"] for row in csv.DictReader((corpus / "test.tsv").open(encoding="utf-8"), delimiter="\t")
    }
    assert {row["reference"] for row in rows} == set(map(keep, sentences))
    units = load_units(folder / "save/units")
    assert {".", "M"} <= set(units.pieces) and units.decode(units.encode(rows[0]["reference"])) == rows[0]["reference"]
    arpa = (folder / "save/lm.arpa").read_text(encoding="utf-8")
    assert any(word[-1] == "." and word[:-1].isalpha() for line in arpa.splitlines() for word in line.split("\t")[1:2])
    results = json.loads((folder / "result.json").read_text())["results"]["test"]
    for decoder, rates in results.items():
        assert tuple(rates) == MEASURES
        ways = {"WER": str, "WER normalised": plain}
        for measure, rule in ways.items():
            texts = [[rule(row[column]) for row in rows] for column in ("reference", decoder)]
            assert rates[measure]["percent"] == pytest.approx(100 * score(*texts).total.rate, abs=0.001)


def test_its_use(written, capsys, tmp_path):
    """`evaluate` has both rates of the training, with digits too; hotwords and other models keep what they are."""
    corpus, folder = written
    expected = json.loads((folder / "result.json").read_text())["results"]["test"]["decoder/prefix-beam+lm"]
    data = [str(ROOT / "recipes/CommonVoice/sw"), "--data_folder", str(corpus), "--lm", "auto"]
    assert cli.main(["evaluate", str(folder), *data, "--out", str(tmp_path / "out")]) == 0
    found = json.loads((tmp_path / "out/scores.json").read_text())["results"]["test"]
    assert found == expected and "CER normalised" in capsys.readouterr().out
    assert cli.main(["evaluate", str(folder), *data[:-2], "--digits", "--hotwords", "juma"]) == 0
    assert "WER normalised" in capsys.readouterr().out
    recognizer = Recognizer.from_folder(folder)
    text = tmp_path / "text.txt"
    text.write_text("Juma, njoo.\nNdiyo!\n", encoding="utf-8")
    told = ["lm", str(text), "--locale", "sw", "--out", str(tmp_path / "lm.arpa"), "--order", "2"]
    assert cli.main([*told, "--text_case", "keep", "--punctuation", "keep"]) == 0
    assert {"Juma,", "njoo.", "Ndiyo!"} <= recognizer.decoder(tmp_path / "lm.arpa")._words.known.keys()
