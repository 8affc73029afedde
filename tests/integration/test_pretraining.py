"""Pre-training without transcripts, and recognisers that start from it."""

import csv
import json
import shutil
import signal

import pytest
import torch
from safetensors.torch import load_file

from serenanet_modules.cli import main as serenanet
from serenanet_modules.errors import UserError
from serenanet_modules.inference.recognizer import Recognizer
from serenanet_modules.training.targets import load_clusters
from tests.support import hooks
from tests.support.tiny import (
    PAIRS,
    PESSL,
    ROOT,
    SHORT_PESSL,
    SIZES,
    Run,
    checkpoints,
    command,
    distance,
    log,
    make_corpus,
    train_log,
    weights,
)

AUXILIARY = ("--pessl", "!include:pretraining/pessl.yaml", "--n_clusters", 12)


@pytest.fixture(scope="module")
def pretrained(corpus, tmp_path_factory):
    """A whole pre-training that nothing disturbed, two micro-batches a step."""
    folder = tmp_path_factory.mktemp("pretrained") / "run"
    return Run(command(corpus, folder, *PAIRS, *SHORT_PESSL, **PESSL), folder, [hooks.record]).done()


def measures(run):
    return run.result["pretraining"]


def test_result_folder(pretrained):
    """Measures of each split that fit together, the clusters behind them, and plots."""
    folder = pretrained.folder
    assert {"weights.safetensors", "hyperparams.yaml", "cluster_usage.png", "cluster_phones.png"} <= {
        path.name for path in folder.iterdir()
    }
    assert pretrained.result["experiment"] == "pessl_small" and pretrained.result["pretrained"] is None
    assert set(measures(pretrained)) == {"train", "dev", "test"}
    for split, found in measures(pretrained).items():
        with open(folder / f"clusters_{split}.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        frames = [int(row["frames"]) for row in rows]
        assert len(rows) == found["usage"]["clusters"] == 12
        assert found["usage"]["dead"] == frames.count(0)
        assert found["usage"]["most_frequent"] == pytest.approx(max(frames) / sum(frames), abs=1e-4)
        assert 0 <= found["masked_accuracy"] <= 100 and 0 < found["masked_frames"] < sum(frames)
        named = [sum(int(n) for name, n in row.items() if name not in ("cluster", "frames")) for row in rows]
        assert sum(named) == found["phones"]["frames"] == sum(frames)  # each utterance has a transcript
        assert 0 < found["phones"]["pnmi"] < 1
    last = float(train_log(folder)[-1].rpartition("masked_error: ")[2])
    assert len(train_log(folder)) == 2 and 0 < last < 100


def test_it_is_evaluated(pretrained, corpus, tmp_path):
    """By ``serenanet evaluate``: masked prediction, clusters and their agreement with phones are those of its test."""
    given = ["--data_folder", str(corpus), "--out", str(tmp_path), "--device", "cpu"]
    assert serenanet(["evaluate", str(pretrained.folder), str(ROOT / "recipes/CommonVoice/sw"), *given]) == 0
    found, expected = json.loads((tmp_path / "scores.json").read_text())["pretraining"], measures(pretrained)["test"]
    assert found == {"test": expected} and "phones" in expected
    for name in ("clusters_test.csv", "cluster_usage.png"):
        assert (tmp_path / name).is_file()
    assert (tmp_path / "clusters_test.csv").read_text() == (pretrained.folder / "clusters_test.csv").read_text()


def test_killed_and_resumed(train, pretrained):
    """SIGKILL mid-epoch costs no exactness."""
    run = train(*PAIRS, *SHORT_PESSL, "--ckpt_interval_minutes", 0.0005, hooks=[hooks.slow], **PESSL)
    run.until(lambda: checkpoints(run.folder))
    run.kill()
    run = train(*PAIRS, *SHORT_PESSL, **PESSL).done()
    assert "Resuming " in log(run.folder)
    assert distance(run.folder, pretrained.folder) == 0 and measures(run) == measures(pretrained)


def test_two_processes_stopped_and_resumed(train_both, pretrained):
    """SIGTERM saves, and two processes that it stopped once end where one process does."""
    runs = train_both(*SHORT_PESSL, hooks=[hooks.slow], **PESSL)
    runs[0].until((runs[0].folder / "training").exists)
    for run in runs:
        run.send(signal.SIGTERM)
    assert [run.wait() for run in runs] == [143, 143], runs[0].output + runs[1].output
    assert len(checkpoints(runs[0].folder)) == 1
    for run in train_both(*SHORT_PESSL, **PESSL):
        run.done()
    folder = runs[0].folder
    assert (folder / "save/clusters.safetensors").read_bytes() == (
        pretrained.folder / "save/clusters.safetensors"
    ).read_bytes()
    assert distance(folder, pretrained.folder) < 1e-5
    found, expected = measures(runs[0]), measures(pretrained)
    for split in expected:
        assert found[split]["usage"] == expected[split]["usage"]
        assert found[split]["phones"] == expected[split]["phones"]
        assert found[split]["masked_accuracy"] == pytest.approx(expected[split]["masked_accuracy"], abs=0.5)


def test_unlabelled_audio(train, pretrained, tmp_path):
    """Transcripts are not looked at: without any, the same weights, only no measures of phones."""
    silent = make_corpus(tmp_path / "silent", texts=[""] * sum(SIZES.values()))
    run = train(*PAIRS, *SHORT_PESSL, corpus=silent, **PESSL).done()
    assert distance(run.folder, pretrained.folder) == 0
    for split, found in measures(run).items():
        assert found == {k: v for k, v in measures(pretrained)[split].items() if k != "phones"}
    assert not (run.folder / "cluster_phones.png").exists()
    refused = train(*SHORT_PESSL, "--targets", "phoneme_seeded", corpus=silent, folder=tmp_path / "seeded", **PESSL)
    assert refused.wait() == 2 and "needs transcripts" in refused.output.splitlines()[-1]


def test_fine_tuning_starts_from_the_weights(train, pretrained):
    """With a learning rate of 0 the shared parts end as they were, features' statistics and clusters included."""
    run = train(
        "--number_of_epochs", 1, "--lr", 0, "--beam_size", 0, *AUXILIARY, "--pretrained", pretrained.folder
    ).done()
    before, after = weights(pretrained.folder), weights(run.folder)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert {name.split(".")[1] for name in after.keys() - before.keys()} == {"decoder", "car"}
    taken = {row.split()[0]: row.split()[1:] for row in run.output.split("parameters from")[1].splitlines()[2:7]}
    assert all(taken[part][1:] == ["0", "0", "0"] for part in ("frontend", "encoder", "pessl"))
    assert taken["decoder"][0] == taken["car"][0] == "0"
    clusters = [load_file(r.folder / "save/clusters.safetensors") for r in (run, pretrained)]
    assert torch.equal(clusters[0]["centroids"], clusters[1]["centroids"])
    assert "train pessl:" in train_log(run.folder)[0]
    about = run.result["pretrained"]
    assert about["folder"] == str(pretrained.folder) and about["commit"] == pretrained.result["commit"]
    assert about["hours"] == pretrained.result["data"]["splits"]["train"]["hours"] and about["iteration"] == 1
    assert about["parts"]["decoder"] == {"loaded": 0, "by_symbol": 0, "left_out": 0} | {
        "new": run.result["parameters"]["decoder"]
    }


def test_fine_tuning_resumes_without_its_start(train, pretrained, tmp_path):
    """The pre-training's folder is read once; a recogniser stopped and resumed is one that was not."""
    start = tmp_path / "start"
    shutil.copytree(pretrained.folder, start)
    rates = ("--loaded_rate_factor", 0.3, "--layer_decay", 0.5)  # which hang on what was loaded
    fine_tuning = (*PAIRS, "--number_of_epochs", 2, "--beam_size", 0, *AUXILIARY, *rates, "--pretrained", start)
    whole = train(*fine_tuning, folder=tmp_path / "whole").done()
    run = train(*fine_tuning, hooks=[hooks.slow])
    run.until((run.folder / "training").exists)
    run.send(signal.SIGTERM)
    assert run.wait() == 143, run.output
    shutil.rmtree(start)
    run = train(*fine_tuning).done()
    assert distance(run.folder, whole.folder) == 0
    assert run.result["pretrained"] == whole.result["pretrained"]
    assert Recognizer.from_folder(run.folder).units.size == run.result["units"]["size"]


def test_second_iteration(train, train_both, pretrained, tmp_path):
    """Clusters of an encoder layer at another frame rate, seeded by phones; what comes of it stands alone."""
    start = tmp_path / "start"
    shutil.copytree(pretrained.folder, start)
    second = (*SHORT_PESSL[:2], "--n_clusters", 40, "--cluster_frames", 2000, "--output_stride", 2, "--iteration", 2)
    run, _ = (r.done() for r in train_both(*second, "--targets", "phoneme_seeded", "--pretrained", start, **PESSL))
    assert run.result["pretrained"]["gave"] == "targets"
    assert "the weights start anew" in run.output
    shutil.rmtree(start)
    clusters = load_clusters(run.folder / "save/clusters.safetensors")
    assert clusters.representation.stride == 4 and clusters.centroids.shape == (40, 32)
    options = ("--pessl", "!include:pretraining/pessl.yaml", "--n_clusters", 40, "--output_stride", 2)
    tuned = train(
        "--number_of_epochs", 1, "--beam_size", 0, *options, "--pretrained", run.folder, folder=tmp_path / "t"
    )
    assert tuned.done().result["pretrained"]["iteration"] == 2


CASES = {
    "no folder": (["--pretrained", "/no/such"], "there is no folder /no/such"),
    "no result": (["--pretrained", "/"], "/ is not the result folder of a finished run (hyperparams.yaml is missing)"),
    "other sizes": (["--encoder.d_ffn", 32], "acoustic.encoder.layers.0.ffn.0.weight is 64×32 in"),
    "other number of clusters": (["--n_clusters", 7, *AUXILIARY[:2]], "acoustic.pessl.head.weight is 12×32 in"),
    "other features": (["--n_mels", 32], "'features' differ"),
    "more layers": (["--encoder.n_layers", 2], "acoustic.encoder.layers.1.norm_attention.weight is not there in"),
    "other encoder": (
        ["--encoder", "!include:encoders/conformer.yaml", "--encoder.n_layers", 1, "--encoder.d_ffn", 64],
        "layers.0.mha_layer.in_proj_weight is not there in",
    ),
    "iteration left out": (["--iteration", 3, *AUXILIARY[:2]], "pre-train iteration 2 first"),
    "no teacher": (
        ["--iteration", 2, "--pretrained", "null", *AUXILIARY[:2]],
        "'iteration' 2 needs 'pessl', and --pretrained",
    ),
    "other frames": (["--iteration", 2, "--output_stride", 3, *AUXILIARY[:2]], "one must be a multiple of the other"),
    "unknown targets": (["--targets", "words"], "'targets' must be one of acoustic, phoneme_seeded"),
    "no brain": (["--brain", "!name:torch.nn.Linear"], "'brain' must be"),
}


@pytest.mark.parametrize("arguments, words", CASES.values(), ids=CASES)
def test_one_sentence(train, pretrained, tmp_path, arguments, words):
    """What cannot be started from is refused before preparation."""
    prepared = tmp_path / "prepared"
    run = train("--prepared_folder", prepared, "--pretrained", pretrained.folder, *arguments)
    assert run.wait(30) == 2, run.output
    assert words in run.output.splitlines()[-1] and "Traceback" not in run.output
    assert not prepared.exists()


def test_a_pretraining_is_no_recogniser(pretrained):
    """It says so, and what to do with it."""
    with pytest.raises(UserError, match="is the result of a pre-training, which is no recogniser"):
        Recognizer.from_folder(pretrained.folder)


def test_auxiliary_loss_alone(train):
    """Without a pre-training, a run with PESSL fits clusters of its own."""
    run = train("--number_of_epochs", 1, "--beam_size", 0, *AUXILIARY, "--cluster_frames", 2000).done()
    assert (run.folder / "save/clusters.safetensors").is_file() and run.result["pretrained"] is None
    assert "train pessl:" in train_log(run.folder)[0]
    assert json.loads((run.folder / "result.json").read_text())["parameters"]["pessl"] > 0
