"""One model has one error rate: training, `serenanet evaluate` and `transcribe` hear the same, to the last edit."""

import json

import numpy as np
import pytest
import soundfile

from serenanet_modules import cli
from serenanet_modules.data.audio import SAMPLE_RATE, load
from serenanet_modules.data.manifest import read_manifest
from serenanet_modules.inference.recognizer import Recognizer
from serenanet_modules.training import calibration
from tests.support.encoders import save_encoder
from tests.support.folders import babble, copy_without
from tests.support.presets import preset
from tests.support.tiny import (
    HYBRID,
    ROOT,
    SIZES,
    Run,
    command,
    decoded,
    make_corpus,
    prepared_manifest,
    read_tsv,
    write_tsv,
)

SHORT = ("--number_of_epochs", 1, "--lr", 1e-5, "--scoring", "decoder")
GIVEN = ("--decoding_ctc_weight", 0.3, "--lm_weight", 0.5, "--word_score", 1.0)  # so that nothing is tuned
PUBLIC = "--d_model 32 --head.n_layers 1 --head.n_heads 2 --head.d_ffn 32 --encoder.source".split()  # and the folder
KINDS = {  # how it is trained, and the decoder that a folder without some file and with some language model has
    "ctc": ((), {}, {"decoder/greedy": (None, None), "decoder/prefix-beam+lm": (None, "save/lm.arpa")}),
    "hybrid": (GIVEN, HYBRID, {"attention/beam": (None, None), "attention/beam+lm": (None, "save/lm.arpa")}),
    "public encoder": (  # frames of train are kept in float16
        (),
        {"hparams": preset("pretrained_ctc"), "model": PUBLIC},
        {"decoder/greedy": (None, None), "decoder/prefix-beam+lm": (None, "save/lm.arpa")},
    ),
    "phonemes": (
        ("--units", "phoneme", "--encoder.kernel_size", "null"),
        {},
        {"decoder/lexicon-beam": (None, None), "decoder/greedy": ("save/lexicon.tsv", None)},
    ),
}


def make_long(corpus):
    """Join clips and sentences of dev and of test, the last two with seconds of silence between."""
    silence = np.zeros(12 * SAMPLE_RATE, np.float32)
    for split in ("dev", "test"):
        rows = read_tsv(corpus / f"{split}.tsv")
        sounds = [load(corpus / "clips" / row["path"]) for row in rows]
        for name, chosen, pause in (("joined", (0, 1, 2), silence[:0]), ("paused", (2, 3), silence)):
            parts = [part for i in chosen for part in (sounds[i], pause)]
            path = f"{split}_{name}.flac"
            soundfile.write(corpus / "clips" / path, np.concatenate(parts), SAMPLE_RATE)
            rows.append({**rows[0], "path": path, "sentence": " ".join(rows[i]["sentence"] for i in chosen)})
        write_tsv(corpus / f"{split}.tsv", rows)
    return corpus


@pytest.fixture(scope="module")
def long_corpus(tmp_path_factory):
    return make_long(make_corpus(tmp_path_factory.mktemp("long") / "sw", sizes=SIZES | {"dev": 4, "test": 4}))


def lenient(folder):
    """A hook of `Run`: let maps of confidences be fitted on whatever words there are."""
    calibration.LEAST_WORDS, calibration.LEAST_OF_EACH = 1, 0


@pytest.fixture(scope="module", params=KINDS)
def trained(request, long_corpus, tmp_path_factory):
    """(run, ways) of a real training; a way is a decoder, a folder that has it, and its language model."""
    more, options, decoders = KINDS[request.param]
    folder = tmp_path_factory.mktemp(request.param.replace(" ", "_")) / "run"
    if options.get("model") is PUBLIC:
        options = {**options, "model": [*PUBLIC, str(save_encoder(folder.with_name("wavlm"), "wavlm"))]}
    run = Run(command(long_corpus, folder, *SHORT, *more, **options), folder, [babble, lenient]).done()
    ways = []
    for decoder, (missing, lm) in decoders.items():
        used = folder if missing is None else copy_without(folder, folder.parent / "less", missing)
        ways.append((decoder, used, None if lm is None else folder / lm))
    return run, ways


def test_evaluate_gives_the_trainings_own_table(trained, long_corpus, tmp_path, capsys):
    """The same counts, intervals, texts and alignments, of utterances below and above the length that is cut."""
    run, ways = trained
    most = Recognizer.from_folder(run.folder).settings["piece_seconds"]
    durations = [float(row["duration"]) for row in decoded(run.folder, "test")]
    assert min(durations) < most and sum(seconds > most for seconds in durations) == 2
    for decoder, folder, lm in ways:
        name, expected = decoder.replace("/", "_"), run.result["results"]["test"][decoder]
        out = tmp_path / name
        data = (ROOT / "recipes/CommonVoice/sw", "--data_folder", long_corpus, "--out", out)
        arguments = ("evaluate", folder, *data, *(() if lm is None else ("--lm", lm)))
        assert cli.main([*map(str, arguments)]) == 0, capsys.readouterr().err
        found = json.loads((out / "scores.json").read_text(encoding="utf-8"))["results"]["test"]
        assert {measure: found[measure] for measure in expected} == expected
        texts = {row["id"]: row["hypothesis"] for row in decoded(out, "test")}
        assert texts == {row["id"]: row[decoder] for row in decoded(run.folder, "test")} and all(texts.values())
        measure = "per" if "PER" in expected else "wer"
        alignments = [run.folder / f"{measure}_test_{name}.txt", out / f"{measure}_test.txt"]
        assert len({path.read_text(encoding="utf-8") for path in alignments}) == 1


def test_evaluate_gives_the_trainings_own_reliability(trained, long_corpus, tmp_path, capsys):
    """The map that dev gave is used: the same words, sorted into the same bins, with the same error."""
    run, ways = trained
    for decoder, folder, lm in ways:
        expected, out = run.result["confidence"][decoder]["sets"]["test"], tmp_path / decoder.replace("/", "_")
        data = (ROOT / "recipes/CommonVoice/sw", "--data_folder", long_corpus, "--out", out)
        assert cli.main([*map(str, ("evaluate", folder, *data)), *(("--lm", str(lm)) if lm else ())]) == 0
        found = json.loads((out / "scores.json").read_text(encoding="utf-8"))["confidence"]["test"]
        assert list(found) == ["decoder", "calibrated"] and found["decoder"] == decoder
        for name in ("words", "right", "confidence", "ece"):
            assert found["calibrated"][name] == pytest.approx(expected["calibrated"][name], abs=2e-4)
        assert found["calibrated"]["words"] > 3 and expected["raw"] != expected["calibrated"]
        assert f" {decoder} " in capsys.readouterr().out


def test_transcribe_gives_the_evaluations_texts(trained, long_corpus):
    """And that they are equal says something: read whole, with the silence, the long ones would have other texts."""
    run, ways = trained
    manifest = prepared_manifest(long_corpus, run.folder)
    paths = {u.id: manifest.parent / u.path for u in read_manifest(manifest, "test")}
    rows = decoded(run.folder, "test")
    for decoder, folder, lm in ways:
        recognizer = Recognizer.from_folder(folder)
        found = recognizer.transcribe([paths[row["id"]] for row in rows], lm=lm)
        assert [transcript.text for transcript in found] == [row[decoder] for row in rows]
        whole = recognizer.transcribe([paths[row["id"]] for row in rows], lm=lm, piece_seconds=60.0)
        changed = [row["id"] for row, text in zip(rows, whole, strict=True) if text.text != row[decoder]]
        assert changed == ["test_joined", "test_paused"]
