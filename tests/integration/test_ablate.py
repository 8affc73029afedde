"""``serenanet ablate`` for real: two variants, two seeds, each with a pre-training, on the tiny corpus."""

import csv
import json
import multiprocessing
import os
import shutil

import pytest

from serenanet_modules import cli
from tests.support.tiny import MODEL, ROOT, TRAINING, _child

SUITE = """
base: [../serenanet.yaml, ../sizes/serenanet/small.yaml]
pretraining: ../pessl.yaml
pretraining_arguments: {number_of_epochs: 1}
variants:
    full: shared
    car_state_64: shared
    scoring_car: shared
"""
RUNS = [f"{name}/{seed}" for name in ("pretraining/full", "full", "car_state_64") for seed in (1986, 1987)]


@pytest.fixture(scope="module", name="command")
def _command(corpus, tmp_path_factory):
    """The command line, after ``serenanet``, and the folder of its runs."""
    folder = tmp_path_factory.mktemp("ablate")
    shutil.copytree(ROOT / "hparams", folder / "hparams")
    suite = folder / "hparams/ablations/few.yaml"
    suite.write_text(SUITE, encoding="utf-8")
    training = [*MODEL, *TRAINING, "--number_of_epochs", "1", "--beam_size", "0", "--n_clusters", "5"]
    arguments = ["--data_folder", str(corpus), "--prepared_folder", str(corpus / "prepared"), *training]
    out = folder / "out"
    return [
        *("ablate", "--recipe", str(ROOT / "recipes/CommonVoice/sw"), "--suite", str(suite)),
        *("--seeds", "2", "--jobs", "2", "--out", str(out), "--", *arguments),
    ], out


class Forked:
    """Stands for `subprocess.Popen`: train.py in a process forked from one that has done the imports, see `Run`."""

    def __init__(self, command, stdout, env, **_):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["serenanet_modules.training.experiment"])
        arguments = (list(command[1:]), None, stdout.name, (), env)
        self.process = context.Process(target=_child, args=arguments)
        self.process.start()
        self.pid = self.process.pid

    def poll(self):
        return self.process.exitcode

    def send_signal(self, number):
        os.kill(self.pid, number)


@pytest.mark.slow
def test_ablate(command, capfd, monkeypatch):
    """Every run once, a failure told and mended by the same command, then a report of all."""
    monkeypatch.setattr("serenanet_modules.ablation.local.subprocess.Popen", Forked)
    words, out = command
    hindrance = out / "car_state_64/1987/save"  # where a run keeps its checkpoints
    hindrance.parent.mkdir(parents=True)
    hindrance.touch()
    assert cli.main([*words[:1], "--force", *words[1:]]) == 1
    printed = capfd.readouterr().out
    failure = f"failed {os.path.relpath(hindrance.parent)}: error: {hindrance}: File exists"
    assert "5 finished, 1 failed" in printed and failure in printed
    assert failure in (out / "report/report.md").read_text(encoding="utf-8")
    assert {row["seeds"] for row in table(out) if row["system"] == "car_state_64"} == {"1"}

    times = {path: path.stat().st_mtime_ns for path in out.rglob("result.json")}
    hindrance.unlink()
    assert cli.main(words) == 0
    assert "6 finished" in capfd.readouterr().out
    assert times == {path: path.stat().st_mtime_ns for path in times}, "finished runs are not done again"
    assert sorted(path.parent.relative_to(out).as_posix() for path in out.rglob("result.json")) == sorted(RUNS)
    check_results(out)
    assert cli.main([*words[:1], "--dry-run", *words[1:]]) == 0
    assert "6 runs, 6 of them finished" in capfd.readouterr().out


def check_results(out):
    """Each run is what its name says, started from its seed's pre-training, and the report tells of all."""
    results = {name: json.loads((out / name / "result.json").read_text()) for name in RUNS[2:]}
    for name, result in results.items():
        assert result["pretrained"]["folder"] == str(out / "pretraining/full" / name.rpartition("/")[2])
    assert (results[RUNS[2]]["experiment"], results[RUNS[5]]["experiment"]) == ("full", "car_state_64")
    one, other = (results[name]["parameters"] for name in ("full/1986", "car_state_64/1986"))
    assert other["car"] - one["car"] == 3 * 60 * 16 and other["encoder"] == one["encoder"]
    names = {path.name for path in (out / "report").iterdir()}
    assert {"report.md", "table.csv", "table.tex", "rates_greedy.png", "gate.png", "car.png"} <= names
    assert {"learning_curves_WER.png", "learning_curves_CER.png"} <= names
    assert {"spaces.csv", "sources_CER.png", "gates_by_class.png", "pretrainings.png"} <= names
    rows = {(r["system"], r["decoder"], r["split"], r["measure"]): r for r in table(out)}
    car = rows["scoring_car", "car/greedy", "test", "CER"]
    expected = [results[f"full/{seed}"]["results"]["test"]["car/greedy"]["CER"]["percent"] for seed in (1986, 1987)]
    assert float(car["mean"]) == pytest.approx(sum(expected) / 2, abs=1e-3) and car["seeds"] == "2"


def table(out):
    """Rows of table.csv."""
    with open(out / "report/table.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_search(command, capfd, monkeypatch):
    """Two values, each a training from the full model's pre-training, ranked by dev, with what they cost."""
    monkeypatch.setattr("serenanet_modules.ablation.local.subprocess.Popen", Forked)
    words, out = command
    words = [*words[: words.index("--seeds")], "--seeds", "1", "--out", str(out.parent / "search"), "--price", "2"] + [
        *("--values", "lr=0.001,0.002"),
        *words[words.index("--") :],
    ]
    assert cli.main(words) == 0
    printed = capfd.readouterr().out
    assert "3 finished" in printed and "spent: 3 trainings, " in printed and " at 2.00 an hour)" in printed
    page = (out.parent / "search/report/report.md").read_text(encoding="utf-8")
    assert "Ranked by dev WER" in page and "| lr=0.001 |" in page and "| lr=0.002 |" in page
    assert "test WER" not in page and "spent: 3 trainings, " in page
    content = json.loads((out.parent / "search/lr=0.002/1986/result.json").read_text())
    assert content["experiment"] == "lr=0.002"
    assert content["pretrained"]["folder"] == str(out.parent / "search/pretraining/full/1986")
