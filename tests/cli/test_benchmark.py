"""`serenanet benchmark`: models are measured in processes of their own, once, and compared on the same utterances."""

import csv
import json
import re
import shutil
import subprocess
import weakref
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

from serenanet_modules.analysis import speed
from serenanet_modules.cli import main
from serenanet_modules.cli.benchmark import _named
from serenanet_modules.data.sources import Piece
from serenanet_modules.inference import benchmark
from serenanet_modules.inference.hearing import Hearing, Said
from serenanet_modules.inference.plain import PlainModel, is_plain
from serenanet_modules.inference.recognizer import Recognizer
from tests.support.folders import copy_without, make_random_result
from tests.support.presets import preset
from tests.support.refusals import refusal
from tests.support.tiny import SAMPLE
from tests.support.whispers import make_whisper

TINY = (("d_model", "32"), ("encoder.n_layers", "1"), ("encoder.d_ffn", "64"), ("frontend.gate_size", "16"))
TINY += (("car", "null"), ("n_mels", "40"), ("features.n_fft", "512"))


@pytest.fixture(scope="module", name="models")
def _models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return [
        str(make_random_result(folder / name, preset("serenanet/small"), *TINY, blank=b))
        for name, b in (("a", 5.0), ("b", 0.0))
    ]


@pytest.fixture(scope="module", name="asked")
def _asked(models, tmp_path_factory):
    """(command line, folder that it writes)."""
    out = tmp_path_factory.mktemp("benchmark")
    data = [str(SAMPLE / "test.tsv"), "--locale", "sw", "--max-samples", "3", "--speed-runs", "2", "--out", str(out)]
    return ["benchmark", *models, *data], out


def in_this_process(monkeypatch):
    """Let measurements run here; returns the requests' models in order."""
    asked = []

    def run(arguments, **options):
        asked.append(json.loads(open(arguments[-1], encoding="utf-8").read())["model"])
        monkeypatch.setattr("sys.argv", arguments[2:])
        benchmark.main()
        return subprocess.CompletedProcess(arguments, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    return asked


def test_models_take_turns_and_are_compared(asked, models, monkeypatch, capsys):
    """Measurements are interleaved; a second call measures nothing; another request measures anew."""
    line, out = asked
    spawned, drawn, save = in_this_process(monkeypatch), [], Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda figure, *a, **b: drawn.append(figure) or save(figure, *a, **b))
    assert main(line) == 0
    assert spawned == models * 2
    assert re.fullmatch(r"word error rate, % of \d+ words", drawn[0].axes[0].get_ylabel())
    with open(out / "benchmark.csv", encoding="utf-8", newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["model"], second["model"]) == ("a", "b") and not first["difference"] and "…" in second["difference"]
    assert not first["difference_cer"] and re.fullmatch(r"[+-]\S+ \(\S+ … \S+\)", second["difference_cer"])
    assert float(first["WER"]) > 0 and int(second["parameters"]) > 1000
    assert all(float(first[key]) > 0 for key in ("p50", "p95", "rtf", "rtf_batched", "cold", "memory", "tokens"))
    assert float(first["p50"]) <= float(first["p95"])
    assert (out / "benchmark.md").read_text(encoding="utf-8") in capsys.readouterr().out
    assert (out / "wer_rtf.png").read_bytes().startswith(b"\x89PNG")
    assert main(line) == 0 and len(spawned) == 4
    assert main([*line, "--speed-runs", "3"]) == 0 and spawned[4:] == models
    assert main([*line, "--batch-seconds", "10"]) == 0 and len(spawned) == 10


def test_a_model_in_eight_bits_is_measured_beside_itself(models, tmp_path, monkeypatch):
    """Each result folder twice, the second with as many but smaller weights, under a name that says so."""
    in_this_process(monkeypatch)
    data = [str(SAMPLE / "test.tsv"), "--locale", "sw", "--max-samples", "2", "--speed-runs", "1"]
    assert main(["benchmark", models[0], *data, "--quantize", "int8", "--out", str(tmp_path)]) == 0
    with open(tmp_path / "benchmark.csv", encoding="utf-8", newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["model"], second["model"]) == ("a", "a, int8") and second["difference"]
    assert first["parameters"] == second["parameters"]
    asked = [json.loads(file.read_text()) for file in sorted((tmp_path / "runs").glob("*.request.json"))]
    assert {request["quantize"] for request in asked} == {None, "int8"}


def test_four_bits_and_contexts_are_for_speech_llms_alone(models, speech_llm_folder, tmp_path, monkeypatch, capsys):
    """Others are measured without; what no model, or the device, can have is said before anything is measured."""
    spawned = in_this_process(monkeypatch)
    data = [str(SAMPLE / "test.tsv"), "--locale", "sw", "--max-samples", "1", "--speed-runs", "1", "--out"]
    for model, more, words in [
        (models[0], ("nf4",), "--quantize nf4: is for speech LLMs, and no model here is one; leave it out"),
        (models[0], ("nf4", "--context", "Wanjiku"), "--context: is for speech LLMs, and no model here is one"),
        (str(speech_llm_folder), ("int4",), "int4: needs a GPU"),
        (str(speech_llm_folder), ("int8", "--device", "cuda:0"), "int8: is for CPUs"),
    ]:
        assert main(["benchmark", model, *data, str(tmp_path / "none"), "--quantize", *more]) == 2
        assert words in capsys.readouterr().err and not spawned and not (tmp_path / "none").exists()
    line = ["benchmark", str(speech_llm_folder), models[0], *data, str(tmp_path / "out"), "--quantize", "nf4"]
    assert main([*line, "--context", "Wanjiku"]) == 0
    with open(tmp_path / "out/benchmark.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["model"] for row in rows] == ["llm", "llm, nf4", "a"]
    assert rows[0]["parameters"] == rows[1]["parameters"] and all(float(row["tokens"]) > 0 for row in rows)
    asked = [json.loads(file.read_text()) for file in sorted((tmp_path / "out/runs").glob("*.request.json"))]
    assert [(request["context"], request["quantize"]) for request in asked] == [
        (None, None),
        ("Wanjiku", None),
        ("Wanjiku", "nf4"),
    ]


def test_a_model_that_has_changed_is_measured_anew(models, tmp_path, monkeypatch, capsys):
    """Other weights, or other settings, in the same folder."""
    spawned, folder = in_this_process(monkeypatch), copy_without(Path(models[0]), tmp_path / "model")
    data = [str(SAMPLE / "test.tsv"), "--locale", "sw", "--max-samples", "1", "--speed-runs", "1"]
    line = ["benchmark", str(folder), *data, "--out", str(tmp_path / "out")]
    assert main(line) == main(line) == 0 and len(spawned) == 1
    shutil.copy(Path(models[1]) / "weights.safetensors", folder)
    assert main(line) == 0 and len(spawned) == 2
    (folder / "hyperparams.yaml").write_text(
        (folder / "hyperparams.yaml").read_text(encoding="utf-8") + "\n# another\n", encoding="utf-8"
    )
    assert main(line) == main(line) == 0 and len(spawned) == 3


def test_batched_texts_are_those_alone(asked, models, monkeypatch):
    _, out = asked
    in_this_process(monkeypatch)
    found = json.loads((out / "runs/a-0.json").read_text(encoding="utf-8"))
    assert found["texts"] == found["alone"] and len(found["texts"]) == 3 and any(found["texts"].values())


def test_of_all_clips_a_few_batches_are_held(models, monkeypatch):
    """Each is read where it is timed, so that the peak is not that of the data."""
    held, most = weakref.WeakSet(), 0
    monkeypatch.setattr(benchmark, "WINDOW", 1)

    class Counted(Piece):
        def __init__(self, *arguments):
            nonlocal most
            super().__init__(*arguments)
            held.add(self)
            most = max(most, len(held))

        __hash__ = object.__hash__

    monkeypatch.setattr("serenanet_modules.data.sources.Piece", Counted)
    clips = [(path.stem, str(path)) for path in sorted((SAMPLE / "clips").iterdir())[:10]]
    request = {"model": models[0], "device": "cpu", "locale": "sw", "context": None, "quantize": None}
    found = benchmark.measure({**request, "batch_seconds": 5.0, "spawned": 0.0, "clips": clips})
    assert most < 5 and len(found["texts"]) == 10 and found["texts"] == found["alone"]
    assert found["seconds"] > 20 and len(found["latencies"]) == 10


def test_a_process_of_its_own(models, tmp_path, capsys):
    """And what goes wrong in it is one sentence."""
    line = ["benchmark", models[0], str(SAMPLE / "test.tsv"), "--locale", "sw", "--max-samples", "1"]
    assert main([*line, "--speed-runs", "1", "--out", str(tmp_path)]) == 0
    assert "| a |" in capsys.readouterr().out
    (tmp_path / "empty").mkdir()
    assert main(["benchmark", str(tmp_path / "empty"), *line[2:], "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert said[-1].startswith("error: ") and "hyperparams.yaml is missing" in said[-1] and "Traceback" not in said


def test_benchmark_and_evaluate_score_other_systems_alike(tmp_path, monkeypatch):
    """Digits and titles are spelled out as the corpus has them, before punctuation goes."""
    whisper, clip = make_whisper(tmp_path / "whisper"), next((SAMPLE / "clips").iterdir())
    (tmp_path / "m.csv").write_text(f'path,text\n{clip},"MISTER QUILTER\'S TWO MANUALS"\n', encoding="utf-8")
    said = "Mr. Quilter's 2 manuals."
    line = [str(whisper), str(tmp_path / "m.csv"), "--locale", "en_librispeech", "--out"]

    def measured(arguments, **options):
        request = json.loads(Path(arguments[-1]).read_text(encoding="utf-8"))
        found = {"texts": {name: said for name, _ in request["clips"]}, "looped": 0, "single": 1.0, "batched": 1.0}
        found |= {"seconds": 1.0, "cold_start": 1.0, "peak_bytes": 1, "latencies": [1.0], "labels": 1, "joules": None}
        Path(request["out"]).write_text(json.dumps({**found, "parameters": 1, "trained_parameters": None}))
        return subprocess.CompletedProcess(arguments, 0, "", "")

    monkeypatch.setattr(subprocess, "run", measured)
    assert main(["benchmark", *line, str(tmp_path / "b"), "--speed-runs", "1"]) == 0
    with open(tmp_path / "b/benchmark.csv", encoding="utf-8", newline="") as file:
        assert next(csv.DictReader(file))["WER"] == "0.0"
    heard = [(word, 1.0) for word in said.split()]
    monkeypatch.setattr(
        Hearing,
        "_heard",
        lambda _, rows, *more: {
            "seconds": 1.0,
            "utterances": {u.id: asdict(Said(said, "", heard, False)) for u in rows},
        },
    )
    assert main(["evaluate", *line, str(tmp_path / "e"), "--language", "en"]) == 0
    scores = json.loads((tmp_path / "e/scores.json").read_text(encoding="utf-8"))
    assert [found["WER"]["percent"] for found in scores["results"].values()] == [0.0]


def test_names_tell_models_apart():
    assert list(_named(["/r/x/1986", "/r/y/1986", "/w/whisper"])) == ["x/1986", "y/1986", "whisper"]


def test_rows_are_medians_and_counts():
    """Times of the middle measurement, texts of the first; loops and empties are counted."""

    def measured(single):
        told = {"texts": {"u": "a b", "v": ""}, "looped": 1, "single": single, "batched": 1.0, "seconds": 10.0}
        told |= {"cold_start": 2.0, "peak_bytes": 2**20, "latencies": [single, 0.0], "labels": 4, "joules": None}
        return told | {"parameters": 200, "trained_parameters": 50}

    (row,) = speed.summary({"m": [measured(s) for s in (4.0, 2.0, 1.0)]}, {"u": "a b", "v": "c"})
    assert (row["rtf"], row["tokens"], row["looped"], row["empty"], row["match"]) == (0.2, 2.0, 1, 1, 50.0)
    assert row["trained"] == 25 and row["joules"] is None and round(row["WER"], 2) == 33.33
    assert row["difference"] is None and row["difference_cer"] is None
    assert "J per s" not in speed.markdown([row]) and "| m |" in speed.markdown([row])


# --- models of others' making ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module", name="plain", params=["Wav2Vec2", "Hubert", "WavLM"])
def _plain(request, tmp_path_factory):
    """A tiny one of each kind, with a CTC head."""
    import transformers

    folder = tmp_path_factory.mktemp("plain")
    (folder / "vocab.json").write_text(
        json.dumps({"<pad>": 0, "<unk>": 1, "|": 2, "a": 3, "b": 4, "c": 5}), encoding="utf-8"
    )
    tokenizer = transformers.Wav2Vec2CTCTokenizer(str(folder / "vocab.json"))
    extractor = transformers.Wav2Vec2FeatureExtractor(return_attention_mask=False)
    transformers.Wav2Vec2Processor(extractor, tokenizer).save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "vocab_size": 6,
    }
    sizes |= {"conv_dim": [8, 8], "conv_stride": [10, 8], "conv_kernel": [20, 8], "num_conv_pos_embeddings": 8}
    config = getattr(transformers, f"{request.param}Config")(**sizes, num_conv_pos_embedding_groups=2, pad_token_id=0)
    getattr(transformers, f"{request.param}ForCTC")(config).save_pretrained(folder)
    return folder


def test_a_plain_folder(plain, models, tmp_path):
    """It is told from a result folder, and writes; code and other models are refused."""
    assert is_plain(plain) and not is_plain(models[0])
    request = {
        "model": str(plain),
        "device": "cpu",
        "locale": "sw",
        "context": None,
        "quantize": None,
        "batch_seconds": 20.0,
        "spawned": 0.0,
    }
    clips = [(path.stem, str(path)) for path in sorted((SAMPLE / "clips").iterdir())[:2]]
    found = benchmark.measure({**request, "clips": clips})
    assert found["decoder"] == "greedy" and set(found["texts"]) == {name for name, _ in clips}
    assert found["texts"] == found["alone"]  # though its norm hears padding
    assert any(found["texts"].values()) and set("".join(found["texts"].values())) <= set("abc ")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}), encoding="utf-8")
    refusal(lambda: PlainModel(tmp_path, "cpu"), "model.safetensors")
    (tmp_path / "model.safetensors").write_bytes((plain / "model.safetensors").read_bytes())
    refusal(lambda: PlainModel(tmp_path, "cpu"), "model_type 'gpt2'")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"auto_map": {"AutoModelForCTC": "evil.Evil"}}, "never run"),
        ({"hidden_size": 10**9}, "hidden_size is 1000000000"),
        ({"hidden_size": 30000}, "far larger than"),
        ({"vocab_size": 10**7}, "far larger than"),
        ({"num_hidden_layers": 2}, "lack .*layers.1"),
        ({"intermediate_size": 32}, "cannot be opened"),
        ({"vocab_size": 7}, "cannot be opened"),
        ({"hidden_act": "exec"}, "exec"),
    ],
)
def test_a_plain_folder_of_anybody(plain, tmp_path, values, words):
    """Code of its own, sizes that no file holds, weights that lack some or are of other sizes: one sentence each."""
    folder = shutil.copytree(plain, tmp_path / "plain")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, **values}), encoding="utf-8")
    assert re.search(words, refusal(lambda: PlainModel(folder, "cpu"), folder))


def test_a_whisper_is_heard_as_everywhere(tmp_path):
    """By this project's own decoder, in the language that is asked for."""
    folder, clip = make_whisper(tmp_path / "whisper", seconds=30.0), next((SAMPLE / "clips").iterdir())
    assert not is_plain(folder)
    request = {"model": str(folder), "device": "cpu", "locale": "sw", "context": None}
    request |= {"quantize": None, "batch_seconds": 20.0}
    found = benchmark.measure({**request, "spawned": 0.0, "clips": [(clip.stem, str(clip))]})
    (heard,) = Recognizer.from_folder(folder, locale="sw").transcribe([clip])
    assert found["texts"] == found["alone"] == {clip.stem: heard.text} and heard.text
