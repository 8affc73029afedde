"""What is said and reported when the runs have ended."""

import csv

import pytest

from serenanet_modules.ablation.command import ablate, report_on
from serenanet_modules.ablation.plan import Plan, Row
from serenanet_modules.ablation.schedule import Outcome
from serenanet_modules.errors import UserError
from serenanet_modules.runtime.files import locked
from serenanet_modules.runtime.outputs import Outputs
from tests.support.ablations import DATA, RECIPE, SUITE
from tests.support.results import make_result


@pytest.fixture
def runs(run):
    """full and no_car, two seeds each; no_car's second has not ended well."""
    made = {}
    for name, words in (("full", 2), ("no_car", 3)):
        for seed in (1, 2):
            made[name, seed] = run(f"{name}/{seed}")
            if (name, seed) != ("no_car", 2):
                folder = made[name, seed].folder
                make_result(folder, name, seed, {"dev": {"decoder/greedy": [words] * 5, "car/greedy": [4] * 5}})
    return made


def systems(out):
    """system -> (seeds, decoder, difference) in table.csv."""
    with open(out / "report/table.csv", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["measure"] == "WER"]
    return {row["system"]: (row["seeds"], row["decoder"], row["difference"]) for row in rows}


def test_a_part_of_the_suite(runs, tmp_path, capsys):
    """The full model, finished before, stands beside the variants asked for; what failed is told and counts."""
    full = Row("full", (runs["full", 1], runs["full", 2]))
    other = Row("no_car", (runs["no_car", 1], runs["no_car", 2]))
    plan = Plan((other, Row("scoring_car", full.runs, "car")), (*other.runs, *full.runs), full)
    outcomes = [Outcome(run, "finished", "") for run in (other.runs[0], *full.runs)]
    assert report_on(plan, outcomes, tmp_path) == 0
    assert systems(tmp_path) == {
        "full": ("2", "decoder/greedy", ""),
        "no_car": ("1", "decoder/greedy", "10.0"),
        "scoring_car": ("2", "car/greedy", "20.0"),
    }
    capsys.readouterr()
    assert report_on(plan, [*outcomes, Outcome(other.runs[1], "failed", "error: no luck")], tmp_path) == 1
    assert capsys.readouterr().out.endswith("no_car/2: error: no luck\n")
    assert "no_car/2: error: no luck" in (tmp_path / "report/report.md").read_text(encoding="utf-8")


def test_nothing_to_compare_with(runs, tmp_path):
    """Without the full model the others are reported alone, and the page says why."""
    full = Row("full", (runs["no_car", 2],))
    plan = Plan((full, Row("no_car", (runs["no_car", 1],))), full.runs, full)
    ended = [Outcome(runs["no_car", 2], "failed", "x"), Outcome(runs["no_car", 1], "finished", "")]
    assert report_on(plan, ended, tmp_path) == 1
    assert systems(tmp_path) == {"no_car": ("1", "decoder/greedy", "")}
    assert "nothing is compared: full has no finished run" in (tmp_path / "report/report.md").read_text(
        encoding="utf-8"
    )
    nothing = Plan((full,), full.runs, full)
    assert report_on(nothing, ended[:1], tmp_path / "none") == 1 and not (tmp_path / "none").exists()


def test_two_at_a_time_are_refused(tmp_path):
    """Two ablations in one folder would start every run twice."""
    Outputs("ablate").begin(tmp_path)
    with locked(tmp_path / ".lock"), pytest.raises(UserError, match="another ablation is using this folder"):
        ablate(RECIPE, SUITE, 1, DATA, out=tmp_path)


def test_a_dry_run_writes_nothing(tmp_path, capsys):
    assert ablate(RECIPE, SUITE, 1, DATA, out=tmp_path / "out", only=["no_pessl"], dry_run=True) == 0
    assert capsys.readouterr().out.endswith("1 run, 0 of them finished\n") and not (tmp_path / "out").exists()
