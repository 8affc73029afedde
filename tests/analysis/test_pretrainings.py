"""Pre-trainings beside the runs that started from them."""

import csv
import json

from serenanet_modules.analysis.folders import Result
from serenanet_modules.analysis.pretrainings import figure, pairs, table
from serenanet_modules.analysis.report import Group, write_report
from serenanet_modules.analysis.summary import System
from tests.support.results import make_result


def make_pretraining(folder, pnmi, **more):
    measures = {split: {"masked_accuracy": 40.0} for split in ("test", "dev")}
    for split in measures if pnmi else ():
        agreement = {"phone_purity": pnmi + 0.1, "cluster_purity": 0.2, "pnmi": pnmi, "frames": 9}
        measures[split]["phones"] = agreement
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps({"pretraining": measures, **more}))
    return str(folder)


def make_runs(folder):
    """Two runs from a purer pre-training, one from another, one whose pre-training is gone, one from nothing."""
    pure, other = make_pretraining(folder / "p", 0.5), make_pretraining(folder / "q", 0.25)
    origins = {"a/1": pure, "a/2": pure, "b/1": other, "c/1": str(folder / "gone"), "d/1": None}
    for number, (name, origin) in enumerate(origins.items()):
        split = {"decoder/greedy": [number] * 5}
        about = origin and {"folder": origin, "experiment": "pessl", "epochs": 3}
        made = {"dev": split, "test": split}
        make_result(folder / name, name[0], int(name[-1]), made, pretrained=about)
    return {name: [Result.read(folder / n) for n in origins if n[0] == name] for name in "abcd"}


def systems_of(found):
    return [System(name, results, "decoder") for name, results in found.items()]


def test_runs_are_joined_with_their_pretraining(tmp_path):
    found = pairs(systems_of(make_runs(tmp_path)))
    assert [(p.system, p.seed, p.measures["phones"]["pnmi"], p.split) for p in found] == [
        *(("a", 1, 0.5, "test"), ("a", 2, 0.5, "test"), ("b", 1, 0.25, "test")),
    ]
    assert [p.rates["WER"] for p in found] == [0.0, 10.0, 20.0]
    heading, *rows = table(found)
    assert heading[1:] == ("masked acc. %", "phone purity", "PNMI", "system", "seeds", "test WER", "test CER")
    assert [row[1:7] for row in rows] == [("40.0", "0.600", "0.500", "a", "2", "5.0"),
                                          ("40.0", "0.350", "0.250", "b", "1", "20.0")]  # fmt: skip
    panels = figure(found).axes
    points = [tuple(map(float, point)) for marks in panels[0].collections for point in marks.get_offsets()]
    assert points == [(0.6, 0.0), (0.6, 10.0), (0.35, 20.0)]


def test_in_the_report_of_an_ablation(tmp_path):
    """Another name of a row is no other run; one run alone is a table without a plot."""
    runs = make_runs(tmp_path / "runs")
    groups = [Group(name, [result.folder for result in results]) for name, results in runs.items()]
    write_report([*groups, Group("again", groups[0].folders, same_as="a")], tmp_path / "out", "a")
    page = (tmp_path / "out/report.md").read_text(encoding="utf-8")
    assert "## Pre-trainings and what came of them" in page and "](pretrainings.png)" in page
    with open(tmp_path / "out/pretrainings.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["system"], row["pnmi"], row["measure"]) for row in rows][::2] == [
        *(("a", "0.5", "WER"), ("a", "0.5", "WER"), ("b", "0.25", "WER")),
    ]
    write_report(groups[1:2], tmp_path / "one")
    page = (tmp_path / "one/report.md").read_text(encoding="utf-8")
    assert "## Pre-trainings" in page and "pretrainings.png" not in page
    write_report(groups[2:], tmp_path / "none")
    assert "## Pre-trainings" not in (tmp_path / "none/report.md").read_text(encoding="utf-8")


def test_what_was_never_compared_with_phones(tmp_path):
    """A pre-training without transcripts, and what is no result, are left out."""
    made = {"dev": {"decoder/greedy": [1] * 5}}
    (tmp_path / "r").mkdir()
    (tmp_path / "r/result.json").write_text("[")
    for name, origin in (("a", make_pretraining(tmp_path / "p", None)), ("b", str(tmp_path / "r"))):
        make_result(tmp_path / name, name, 1, made, pretrained={"folder": origin, "experiment": "x"})
    assert pairs(systems_of({name: [Result.read(tmp_path / name)] for name in "ab"})) == []
