"""A search's ranking: by dev, over seeds, and without a figure of test."""

import csv

from serenanet_modules.analysis.ranking import write_ranking
from serenanet_modules.analysis.report import Group
from tests.support.results import make_result


def groups(tmp_path, wrong, **more):
    """{name: (wrong words on dev, on test)} -> groups of two seeds, the second one word worse in each utterance."""
    for name, (dev, test) in wrong.items():
        for seed in (1, 2):
            errors = {"dev": {"decoder/greedy": [dev + seed - 1] * 5}, "test": {"decoder/greedy": [test] * 5}}
            make_result(tmp_path / name / str(seed), name, seed, errors, **more)
    return [Group(name, [tmp_path / name / str(seed) for seed in (1, 2)]) for name in wrong]


def test_dev_ranks_and_test_is_not_shown(tmp_path):
    made = groups(tmp_path, {"lr=1": (3, 0), "lr=2": (1, 9), "lr=3": (2, 5)})
    told = write_ranking(made, tmp_path / "report", ["failed lr=4/1: no luck"], "serenanet ablate")
    lines = [line.split() for line in told.splitlines()]
    assert [(line[0], line[1]) for line in lines[1:4]] == [("1", "lr=2"), ("2", "lr=3"), ("3", "lr=1")]
    assert "15.0 ± 7.1" in told and "test" not in told.rpartition("report:")[0]
    page = (tmp_path / "report/report.md").read_text(encoding="utf-8")
    assert "Ranked by dev WER" in page and "no luck" in page and "`serenanet ablate`" in page
    assert not any(figure in page for figure in ("90.0", "50.0", "test WER"))
    with open(tmp_path / "report/table.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["split"] for row in rows} == {"dev"}
    assert [row["percent"] for row in rows if row["system"] == "lr=2" and row["measure"] == "WER"] == ["10.0", "20.0"]


def test_phone_error_rates_rank_models_of_phones(tmp_path):
    made = groups(tmp_path, {"a": (3, 0), "b": (1, 9)}, phones=True)
    told = write_ranking(made, tmp_path / "report")
    assert told.splitlines()[0].split()[3:5] == ["dev", "PER"] and told.splitlines()[1].split()[1] == "b"
