"""Dev error rates of decoder, CAR and average after each epoch."""

import csv

from serenanet_modules.analysis import sources
from serenanet_modules.analysis.folders import Result
from serenanet_modules.analysis.report import report
from serenanet_modules.analysis.summary import System
from tests.support.results import history, make_result

MADE = {"dev": {"decoder/greedy": [1] * 5, "average/greedy": [1] * 5}}


def with_sources(scoring, *rates):
    """A history of (decoder, CAR, average) CERs, that of ``scoring`` under its own name."""
    epochs = history(*(50.0 for _ in rates))
    for epoch, found in zip(epochs, rates, strict=True):
        for source, percent in zip(sources.SOURCES, found, strict=True):
            epoch["dev"]["CER" if source == scoring else f"{source}_CER"] = percent
    return epochs


def make_systems(folder):
    """A model with CAR, twice; and one without."""
    rates = ((50, 60, 52), (30, 28, 29)), ((52, 61, 53), (31, 30, 32))
    for seed, found in enumerate(rates, start=1):
        made = with_sources("average", *found)
        make_result(folder / f"full/{seed}", "full", seed, MADE, scoring="average", history=made)
    make_result(folder / "plain/1", "plain", 1, MADE, history=history(90.0, 80.0))
    full = [Result.read(folder / f"full/{seed}") for seed in (1, 2)]
    return System("full", full, "average"), System("plain", [Result.read(folder / "plain/1")], "decoder")


def test_each_source_is_read_by_its_name(tmp_path):
    full, plain = make_systems(tmp_path)
    assert sources.rates(full.results[0], "car", "CER") == ([1, 2], [60, 28])
    assert sources.rates(full.results[0], "average", "CER") == ([1, 2], [52, 29])
    assert sources.rates(plain.results[0], "decoder", "WER") == ([], [])
    assert sources.measures([full, plain]) == ["CER"] and sources.measures([plain]) == []


def test_table_and_lines(tmp_path):
    systems = make_systems(tmp_path)
    heading, row = sources.table(systems)
    assert row == ("full", "CER", "2", "30.50", "29.00", "30.50", "−1.50", "−1.50")
    assert len(heading) == len(row) and sources.table(systems[1:]) == []
    (panel,) = sources.figure(systems, "CER").axes
    assert [list(line.get_ydata()) for line in panel.lines[:3]] == [[50, 30], [60, 28], [52, 29]]
    assert len(panel.lines) == 6 and panel.get_title() == "full (2 seeds)"


def test_in_a_report(tmp_path):
    """The other sources are no learning curves of their own; a report without CAR says nothing of it."""
    make_systems(tmp_path / "runs")
    report([tmp_path / "runs"], tmp_path / "out")
    page = (tmp_path / "out/report.md").read_text(encoding="utf-8")
    assert "## CAR against the decoder" in page and "](sources_CER.png)" in page
    names = {path.name for path in (tmp_path / "out").glob("*.png")}
    assert {"sources_CER.png", "learning_curves_CER.png", "learning_curves_WER.png"} <= names
    assert not [name for name in names if "car_" in name or "decoder_" in name]
    with open(tmp_path / "out/sources.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len([row for row in rows if row["measure"] == "CER"]) == 2 * 2 * 3 and rows[1] == {
        **{"system": "full", "seed": "1", "epoch": "2", "source": "decoder", "measure": "CER", "percent": "30"}
    }
    report([tmp_path / "runs/plain"], tmp_path / "without")
    assert "CAR" not in (tmp_path / "without/report.md").read_text(encoding="utf-8")
