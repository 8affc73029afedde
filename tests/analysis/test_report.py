"""Reports over folders whose errors are known."""

import csv
import json
import random
import re
import statistics
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from serenanet_modules.analysis import plots
from serenanet_modules.analysis.difference_plot import differences
from serenanet_modules.analysis.folders import Result
from serenanet_modules.analysis.reliability import wilson
from serenanet_modules.analysis.report import Group, report, write_report
from serenanet_modules.analysis.summary import System, summarise
from serenanet_modules.errors import UserError
from tests.support.results import WORDS, history, make_examples, make_result

COUNT = 40
EXAMPLES = {"gate.png", "car.png", "chunk.png"}


def errors(rate, seed):
    """Wrong words of each utterance, of ten."""
    draw = random.Random(seed)
    return [sum(draw.random() < rate for _ in range(10)) for _ in range(COUNT)]


def both(rate, seed):
    """dev and test, greedy and with a beam that repairs one word of each."""
    found = {}
    for split in ("dev", "test"):
        greedy = errors(rate, f"{seed}{split}")
        found[split] = {"decoder/greedy": greedy, "decoder/prefix-beam+lm": [max(0, n - 1) for n in greedy]}
    return found


@pytest.fixture(scope="module", name="results")
def _results(tmp_path_factory):
    """full and no_car with three seeds, good_one with one of them."""
    root = tmp_path_factory.mktemp("results")
    for seed in (1, 2, 3):
        folder = make_result(root / f"full/{seed}", "full", seed, both(0.3, seed), history=history(90, 60, 40 + seed))
        make_examples(folder)
        make_result(root / f"no_car/{seed}", "no_car", seed, both(0.3, 10 + seed), history=history(95, 70, 50))
    make_result(root / "good_one/1", "good_one", 1, both(0.1, 21))
    return root


@pytest.fixture(scope="module", name="written")
def _written(results, tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    return out, report([results], out, reference="full")


def test_decoders_that_read_no_scoring_are_there(tmp_path):
    """What an attention decoder and a language model write, beside what the run's own scoring does."""
    names = ("decoder/greedy", "car/greedy", "attention/beam", "llm/greedy")
    make_result(tmp_path / "one/1", "one", 1, {"test": {name: errors(0.3, name) for name in names}})
    report([tmp_path / "one"], tmp_path / "report")
    told = {row["decoder"] for row in lines(tmp_path / "report")}
    assert told == set(names) - {"car/greedy"}


def lines(out):
    with open(out / "table.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_figure(written, results):
    """Means and deviations are those of result.json, over seeds; costs are there."""
    rows = lines(written[0])
    assert len(rows) == 3 * 2 * 2 * 2  # systems, decoders, splits, measures
    for row in rows:
        folders = (results / row["system"]).iterdir()
        contents = [json.loads((folder / "result.json").read_text()) for folder in folders]
        rates = [c["results"][row["split"]][row["decoder"]][row["measure"]]["percent"] for c in contents]
        assert float(row["mean"]) == pytest.approx(statistics.mean(rates), abs=1e-3)
        assert (
            row["sd"] == "" if len(rates) == 1 else float(row["sd"]) == pytest.approx(statistics.stdev(rates), abs=1e-3)
        )
        assert int(row["seeds"]) == len(rates) and row["parameters"] == "1234000" and row["rtf"] == "0.02"
        assert float(row["low_95"]) < float(row["mean"]) < float(row["high_95"])
    assert {row["training_seconds"] for row in rows if row["system"] == "full"} == {"120.0"}


def test_differences_to_the_reference(written):
    """A chance difference is none, a real one is seen with one seed in common, the reference has none."""
    for row in lines(written[0]):
        if row["system"] == "full":
            assert row["difference"] == row["p_value"] == row["p_holm"] == row["visible"] == ""
            continue
        assert float(row["p_value"]) <= float(row["p_holm"]) <= 2 * float(row["p_value"]) + 1e-4
        assert 0 < float(row["visible"]) < float(row["visible_holm"]) and float(row["degrees_of_freedom"]) >= 2
        if row["system"] == "good_one":
            assert row["seeds_of_both"] == "1"
            assert float(row["p_holm"]) < 0.05 and float(row["difference_high_95"]) < 0
        else:
            assert row["seeds_of_both"] == "3" and float(row["p_holm"]) > 0.05
            assert float(row["difference_low_95"]) < 0 < float(row["difference_high_95"])


def test_the_page_says_what_the_comparison_rests_on(written):
    page = (written[0] / "report.md").read_text(encoding="utf-8")
    assert "- bootstrap of test: resamples its 40 recordings, each of one utterance, of 1 speaker\n" in page
    (line,) = [
        line for line in page.splitlines() if line.startswith("- greedy, test WER: standard deviation over seeds ")
    ]
    assert "pooled, 2 degrees of freedom)" in line
    assert re.search(r"of single systems \d+\.\d \(\w+\) to \d+\.\d \(\w+\), a ratio of \d", line)


@pytest.mark.parametrize(
    ("speakers", "text"),
    [
        (8, "8 speakers, each with all of its utterances (40)"),
        (0, "40 utterances, whose speakers and recordings are not"),
    ],
)
def test_speakers_are_drawn_where_they_are_known(tmp_path, speakers, text):
    for name in ("a", "b"):
        for seed in (1, 2):
            found = {"dev": {"decoder/greedy": errors(0.3, f"{name}{seed}")}}
            make_result(tmp_path / f"{name}/{seed}", name, seed, found, speakers=speakers)
    report([tmp_path], tmp_path / "report")
    assert {row["drawn"].startswith(text) for row in lines(tmp_path / "report")} == {True}
    assert "- bootstrap of dev: resamples its " + text in (tmp_path / "report/report.md").read_text(encoding="utf-8")


def test_markdown(written):
    """One table for each kind of decoder, a row for each system, all rows as wide as their heading."""
    page = (written[0] / "report.md").read_text(encoding="utf-8")
    tables = re.findall(r"### (\S+)\n\n((?:\|.*\n)+)", page + "\n")
    assert [kind for kind, _ in tables] == ["greedy", "prefix-beam+lm"]
    for number, (kind, table) in enumerate(tables):
        heading, rule, *rows = table.splitlines()
        assert len({line.count("|") for line in (heading, rule, *rows)}) == 1 and len(rows) == 3
        assert ("RTF" in heading) == (number == 0)
        assert all(f" decoder/{kind} " in row for row in rows)
    full = next(line for line in page.splitlines() if line.startswith("| full |"))
    assert re.search(r"\| 3 \| \d+\.\d ± \d+\.\d \|", full) and full.endswith("| 1.23 M | 2.0 ± 1.0 | 0.10 | 0.020 |")
    (compared,) = re.findall(r"### greedy: differences to full\n\n((?:\|.*\n)+)", page)
    assert [line.split(" | ")[0] for line in compared.splitlines()[2:]] == ["| good_one", "| no_car"]
    assert re.search(
        r"\| good_one \| 1 \| −\d+\.\d \(−\d+\.\d to −\d+\.\d\) \| < 0\.001 \| \d+\.\d / \d+\.\d \|", compared
    )
    for name in re.findall(r"\]\((\w+\.png)\)", page):
        assert (written[0] / name).is_file()
    assert "c0ffee" in page and str(written[0] / "report.md") in written[1]


def test_latex(written):
    """booktabs tables in which nothing is left that LaTeX would read otherwise."""
    text = (written[0] / "table.tex").read_text(encoding="utf-8")
    assert text.count(r"\begin{tabular}") == text.count(r"\toprule") == text.count(r"\bottomrule") == 4
    assert r"no\_car" in text and r"$\pm$" in text and r"$\Delta$" in text
    body = re.sub(r"\\[a-z]+\{[^}]*\}(\{[^}]*\})?|\\[%_&#]|\$\\?[\w-]+\$", "", text.split("\n", 1)[1])
    assert not re.search(r"[%_#±Δ–−]|(?<!\\)\$", body)
    ends = [line for line in text.splitlines() if line.endswith(r" \\")]
    assert len(ends) == 2 * (4 + 3)
    assert [{line.count(" & ") for line in part} for part in (ends[:4], ends[4:7])] == [{10}, {7}]


def test_pictures(written):
    """All are drawn, and none is empty."""
    names = {path.name for path in written[0].glob("*.png")}
    rates = {"rates_greedy.png", "rates_prefix-beam_lm.png", "learning_curves_WER.png"}
    assert names == rates | {"differences_greedy.png", "differences_prefix-beam_lm.png"} | EXAMPLES
    for_papers = [path for path in written[0].glob("*.pdf") if path.read_bytes().startswith(b"%PDF")]
    assert {path.stem for path in for_papers} == {"differences_greedy", "differences_prefix-beam_lm"}
    for name in names:
        with Image.open(written[0] / name) as image:
            assert len(image.convert("RGB").getcolors(10**6)) > 10


def confidence(*bins):
    """Entry of result.json: raw confidences of 0.95 throughout, calibrated ones in bins of (words, right)."""
    words, right = (sum(column) for column in zip(*bins, strict=True))
    raw = [None] * 9 + [{"words": words, "right": right, "confidence": 0.95}]
    places = [{"words": n, "right": r, "confidence": (k + 0.5) / 10} for k, (n, r) in enumerate(bins)]
    sets = {"test": {"raw": {"bins": raw}, "calibrated": {"bins": places + [None] * (10 - len(bins))}}}
    return {"decoder/greedy": {"sets": sets}}


def test_reliability_diagram(tmp_path):
    """Seeds are pooled; points, intervals and bars are those of the bins; without confidences there is no diagram."""
    both_sets = {split: {"decoder/greedy": errors(0.3, 1)} for split in ("dev", "test")}
    for seed, bins in ((1, ((10, 1), (40, 4))), (2, ((10, 3), (20, 8)))):
        make_result(tmp_path / f"a/{seed}", "a", seed, both_sets, confidence=confidence(*bins))
    make_result(tmp_path / "b/1", "b", 1, both_sets)
    results = [Result.read(tmp_path / f"a/{seed}") for seed in (1, 2)]
    ((name, caption, figure),) = plots.reliabilities(System("a", results, "decoder"))
    assert name == "reliability.png" and "seeds pooled" in caption
    shares, counts = figure.axes
    raw, calibrated = shares.lines[1:]
    assert list(calibrated.get_ydata()) == [4 / 20, 12 / 60] and list(raw.get_ydata()) == [16 / 80]
    assert list(calibrated.get_xdata()) == pytest.approx([0.05, 0.15], abs=0.01)
    low, high = shares.collections[1].get_segments()[0][:, 1]
    assert (low, high) == pytest.approx(wilson(4, 20))
    assert [bar.get_height() for bar in counts.patches if bar.get_height()] == [80, 20, 60]
    error = (abs(4 - 1) + abs(12 - 9)) / 80
    assert shares.get_title() == f"decoder/greedy\nECE raw 0.750, calibrated {error:.3f}"
    report([tmp_path / "a"], tmp_path / "with")
    report([tmp_path / "b"], tmp_path / "without")
    assert "](reliability.png)" in (tmp_path / "with/report.md").read_text(encoding="utf-8")
    assert (tmp_path / "with/reliability.png").is_file() and not list((tmp_path / "without").glob("reliab*"))


def systems(results, *names):
    found = {name: [Result.read(folder) for folder in sorted((results / name).iterdir())] for name in names}
    return [System(name, opened, "decoder") for name, opened in found.items()]


def test_pictures_show_the_figures(results):
    """Bars end at the means, curves are the histories, the gate is as long as the utterance."""
    full, other = systems(results, "full", "no_car")
    rows = summarise([full, other], full)["greedy"]
    figure = plots.bars(rows, "test", ["WER", "CER"], full)
    widths = [bar.get_width() for bar in figure.axes[0].patches]
    assert widths == [row.rates["test", "WER"].mean for row in rows]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["full", "no_car"]
    assert figure.axes[0].get_xlabel() == f"test WER, % of {10 * COUNT} words"
    (panel,) = differences(rows, "test", ["WER"], full).axes
    contrast = rows[1].differences["test", "WER"]
    point, *_ = panel.containers[1].lines
    assert point.get_xdata() == [100 * contrast.difference] and point.get_markerfacecolor() == "white"
    (interval,) = panel.containers[1].lines[2][0].get_segments()
    assert list(interval[:, 0]) == pytest.approx([100 * contrast.low, 100 * contrast.high])
    (seeds,) = [line for line in panel.lines if line.get_marker() == "|" and len(line.get_xdata()) == 3]
    assert seeds.get_xdata() == pytest.approx([100 * step for step in contrast.by_seed.values()])
    assert panel.patches[0].get_width() == pytest.approx(200 * contrast.visible_holm)
    assert panel.get_xlabel().splitlines()[:2] == [
        "test WER minus that of full, points",
        f"n = {10 * COUNT} words; 3 seeds; greedy",
    ]
    panels = plots.curves([full, other], full, "WER").axes
    assert [list(line.get_ydata()) for line in panels[1].lines[3:]] == [[95, 70, 50]] * 3
    assert [list(line.get_ydata()) for line in panels[1].lines[:3]] == [[90, 60, 41], [90, 60, 42], [90, 60, 43]]
    content = full.results[0].examples()
    weights = plots.gates(content, 0).axes[1]
    assert weights.get_xlim() == (0, 0.8)
    assert [text.get_text() for text in weights.get_legend().get_texts()] == ["10 ms", "20 ms", "40 ms"]
    spectrogram, probability = plots.chunks(content, 0).axes
    lines = spectrogram.collections[0].get_segments()
    assert [line[0][0] for line in lines] == list(np.flatnonzero(content["start_0"]) * 0.8 / len(content["start_0"]))
    assert set(probability.lines[0].get_ydata()) == {0, 200 / 255}
    assert [text.get_text() for text in spectrogram.texts][:1] == ["a"]
    shown = [label.get_text() for label in plots.posteriors(content, 0).axes[1].get_yticklabels()]
    assert shown == ["a", "␣", "ng'"], "in the order of when they are said"


def test_hours_and_their_price(results, tmp_path):
    """Of all seeds, in the table and in one sentence."""
    report([results / "no_car"], tmp_path, price=2.0)
    page = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "- spent: 3 trainings, 0.10 hours (0.20 at 2.00 an hour)" in page
    head, _, row = [line for line in page.splitlines() if line.startswith("|")][:3]
    assert dict(zip(head.split(" | "), row.split(" | "), strict=True))["hours, total"] == "0.10"


def test_groups_of_an_ablation(results, tmp_path):
    """Another name of a row is said to be, another source of decoded texts is read from the same runs."""
    folders = {}
    for seed in (1, 2):
        found = {
            s: {"average/greedy": errors(0.3, f"{s}{seed}"), "car/greedy": errors(0.5, f"{s}{seed}")}
            for s in ("dev", "test")
        }
        folders[seed] = make_result(tmp_path / f"full/{seed}", "full", seed, found, scoring="average")
    groups = [
        Group("full", list(folders.values())),
        Group("state_16", list(folders.values()), same_as="full"),
        Group("scoring_car", list(folders.values()), scoring="car"),
    ]
    printed = write_report(groups, tmp_path / "report", "full", ["failed runs/x/1: error: the disk is full"])
    rows = {(row["system"], row["split"], row["measure"]): row for row in lines(tmp_path / "report")}
    assert rows["state_16", "test", "WER"]["mean"] == rows["full", "test", "WER"]["mean"]
    assert rows["state_16", "test", "WER"]["difference"] == ""
    car = rows["scoring_car", "test", "WER"]
    assert car["decoder"] == "car/greedy" and float(car["difference"]) > 10
    # One difference of the same two trainings, two seeds: the spread of the two has one degree of freedom.
    assert float(car["degrees_of_freedom"]) >= 1 and car["p_value"] == car["p_holm"]
    page = (tmp_path / "report/report.md").read_text(encoding="utf-8")
    assert "state_16 (= full)" in page and "- failed runs/x/1: error: the disk is full" in page
    assert "state_16 (= full)" in printed


def test_seeds_are_pooled_by_utterance(tmp_path):
    """Hand-checked: a seed that errs on every second utterance and one that errs on the others are one steady system.

    Each utterance of ten words then has 1 error over 2 seeds: 5 %, and no resampled test set differs from it.
    """
    for seed in (0, 1):
        wrong = [int(i % 2 == seed) for i in range(COUNT)]
        make_result(tmp_path / f"a/{seed}", "a", seed, {"dev": {"decoder/greedy": wrong}})
    make_result(tmp_path / "b/0", "b", 0, {"dev": {"decoder/greedy": [1] * COUNT}})
    report([tmp_path], tmp_path / "report")
    a, b = (
        next(row for row in lines(tmp_path / "report") if (row["system"], row["measure"]) == (n, "WER")) for n in "ab"
    )
    assert (a["mean"], a["sd"], a["low_95"], a["high_95"]) == ("5.0", "0.0", "5.0", "5.0")
    assert (b["difference"], b["seeds_of_both"], b["p_value"]) == ("5.0", "1", "")
    page = (tmp_path / "report/report.md").read_text(encoding="utf-8")
    assert re.search(r"\| b \| 1 \| \+5\.0 \(\+3\.\d to \+6\.\d\) \| – \| – \|", page)


def test_what_is_missing(tmp_path):
    """Runs without test, history, times, examples or a beam still give a table; phoneme runs have PER and WER."""
    dev = {"dev": {"decoder/greedy": errors(0.2, 1), "decoder/lexicon-beam": errors(0.1, 1)}}
    make_result(tmp_path / "a/1", "a", 1, dev, phones=True, seconds={"training": 5.0}, commit=None)
    make_result(tmp_path / "b/1", "b", 1, {"dev": {"decoder/greedy": errors(0.3, 2)}}, phones=True)
    report([tmp_path], tmp_path / "report")
    measures = {(row["system"], row["decoder"], row["measure"]) for row in lines(tmp_path / "report")}
    beam = {("a", "decoder/lexicon-beam", measure) for measure in ("WER", "CER")}
    assert measures == beam | {(name, "decoder/greedy", "PER") for name in "ab"}
    page = (tmp_path / "report/report.md").read_text(encoding="utf-8")
    assert "dev PER" in page and "Δ dev PER" in page and "test" not in page.split("Means")[0]
    assert sorted(path.name for path in (tmp_path / "report").glob("*.png")) == [
        "differences_greedy.png",
        "rates_greedy.png",
        "rates_lexicon-beam.png",
    ]


def test_other_test_sets_are_not_compared(tmp_path):
    """Two datasets stand side by side, each named with its dataset, without a difference."""
    make_result(tmp_path / "a", "full", 1, {"dev": {"decoder/greedy": [1] * 5}})
    make_result(tmp_path / "b", "full", 1, {"dev": {"decoder/greedy": [2] * 7}}, dataset="CommonVoice/yy")
    report([tmp_path / "a", tmp_path / "b"], tmp_path / "report")
    assert {(row["system"], row["difference"]) for row in lines(tmp_path / "report")} == {
        ("CommonVoice/xx full", ""),
        ("CommonVoice/yy full", ""),
    }


def test_a_page_says_that_test_sets_differ(tmp_path):
    """Of one dataset; those of several are named with it."""
    for name, count, dataset in (("a", 5, "xx"), ("b", 7, "xx"), ("c", 9, "yy")):
        test = {"splits": {"test": {"utterances": count, "characters": 10 * count, "hours": 1}}}
        errors = {"test": {"decoder/greedy": [1] * count}}
        make_result(tmp_path / name, name, 1, errors, dataset=dataset, data=test)
    said = "- the test sets of xx differ (5 utterances of 50 letters; 7 utterances of 70 letters)"
    for names in ("ab", "abc"):
        report([tmp_path / name for name in names], tmp_path / names)
        page = (tmp_path / names / "report.md").read_text(encoding="utf-8")
        assert said in page and "yy differ" not in page
    report([tmp_path / "a", tmp_path / "c"], tmp_path / "ac")
    assert "test sets of" not in (tmp_path / "ac/report.md").read_text(encoding="utf-8")


def test_bad_places(tmp_path):
    out = tmp_path / "report"
    with pytest.raises(UserError, match="there is no such folder"):
        report([tmp_path / "nowhere"], out)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty: holds no finished run"):
        report([tmp_path / "empty"], out)
    make_result(tmp_path / "a", "full", 1, {"dev": {"decoder/greedy": [1] * 5}})
    make_result(tmp_path / "pessl", "pessl", 1, {}, results=None, scoring=None, pretraining={})
    with pytest.raises(UserError, match="nothing to report on: .*/pessl: is a pre-training, which"):
        report([tmp_path / "pessl"], out)
    make_result(tmp_path / "else", "else", 1, {}, results=None)
    make_result(tmp_path / "old", "old", 1, {"dev": {"decoder/greedy": [1] * 5}})
    (tmp_path / "old/hyperparams.yaml").write_text("format: 0\n")
    assert "left out" not in report([tmp_path / "a"], out)
    report([tmp_path / name for name in ("pessl", "a", "else", "old")], out)
    page = (out / "report.md").read_text(encoding="utf-8")
    assert f"- left out: {tmp_path}/pessl: is a pre-training, which has no error rates\n" in page
    assert f"- left out: {tmp_path}/else/result.json: is not the result of a recogniser (KeyError('results'))" in page
    assert f"- left out: {tmp_path}/old/hyperparams.yaml: the result folder has format 0, and this version" in page
    make_result(tmp_path / "b", "full", 1, {"dev": {"decoder/greedy": [1] * 5}})
    with pytest.raises(UserError, match="are both full with seed 1"):
        report([tmp_path], out)
    with pytest.raises(UserError, match="no experiment 'fool'"):
        report([tmp_path / "a"], out, "fool")
    (tmp_path / "a/decoded_dev.csv").unlink()
    with pytest.raises(UserError, match="decoded_dev.csv: cannot be read"):
        report([tmp_path / "a"], out)
    make_result(tmp_path / "c/1", "c", 1, {"dev": {"decoder/greedy": [1] * 5}})
    make_result(tmp_path / "c/2", "c", 2, {"dev": {"decoder/greedy": [1] * 6}})
    with pytest.raises(UserError, match="seeds of c cannot be pooled"):
        report([tmp_path / "c"], out)


def test_the_page_says_what_runs_started_from(tmp_path):
    made = {"dev": {"decoder/greedy": [1] * 5}}
    make_result(
        tmp_path / "a", "full", 1, made, pretrained={"folder": "p", "experiment": "pessl", "hours": 1.5, "epochs": 3}
    )
    make_result(tmp_path / "b", "anew", 1, made, pretrained=None)
    report([tmp_path], tmp_path / "report")
    page = (tmp_path / "report/report.md").read_text(encoding="utf-8")
    assert "\n- started from: pessl of 1.5 h, 3 epochs\n" in page and "\n- first run: `python train.py`\n" in page


def test_the_page_says_which_command_made_a_suite(tmp_path):
    folder = make_result(tmp_path / "a", "full", 1, {"dev": {"decoder/greedy": [1] * 5}})
    write_report([Group("full", [folder])], tmp_path / "report", command="serenanet ablate --seeds 1")
    assert "\n- all runs: `serenanet ablate --seeds 1`\n" in (tmp_path / "report/report.md").read_text(encoding="utf-8")


def test_cpu_time_is_that_of_runs_without_a_gpu(tmp_path):
    made, seconds = {"dev": {"decoder/greedy": [1] * 5}}, {"training": 60.0, "training_cpu": 150.0}
    make_result(tmp_path / "a", "here", 1, made, device="cpu", seconds=seconds)
    make_result(tmp_path / "b", "there", 1, made, device="cuda", seconds=seconds)
    printed = report([tmp_path], tmp_path / "report")
    assert "CPU, min" in printed
    assert [(row["system"], row["training_cpu_seconds"]) for row in lines(tmp_path / "report")][::2] == [
        ("here", "150.0"),
        ("there", ""),
    ]


def test_a_single_epoch_can_be_seen():
    one = System("one", [Result(Path("a"), {"history": history(50.0)})], "decoder")
    figure = plots.curves([one], one, "WER")
    assert {line.get_marker() for line in figure.axes[0].lines} == {"."}
    assert [tick for tick in figure.axes[0].get_xticks() if tick % 1] == []


def test_copies_say_the_same_without_a_word(results, written, tmp_path):
    """A report on copies is that on the results; nothing that was said, and no place, is in a copy."""
    report([results], tmp_path / "report", reference="full", copies=tmp_path / "copies")
    copied = report([tmp_path / "copies"], tmp_path / "again", reference="full")
    assert copied.rpartition("report:")[0] == written[1].rpartition("report:")[0]
    assert lines(tmp_path / "again") == lines(written[0])
    files = [file for file in (tmp_path / "copies").rglob("*") if file.is_file()]
    assert len(files) == 7 * 3
    said = {*WORDS, "train.py", str(results), "u000"}
    assert not [file for file in files if any(word in file.read_text(encoding="utf-8") for word in said)]


def test_what_a_copy_cannot_say(results, tmp_path):
    report([results], tmp_path / "report", copies=tmp_path / "copies")
    copy = Result.read(tmp_path / "copies/full/1")
    with pytest.raises(UserError, match="is a copy without texts"):
        copy.pair("test", "decoder/greedy")
    heading = "utterance,speaker,recording,decoder/greedy WER\n"
    (copy.folder / "counts_test.csv").write_text(f"{heading}1,,,8 1 1 0\n", encoding="utf-8")
    with pytest.raises(UserError, match="has no column 'decoder/greedy CER'"):
        Result.read(copy.folder).per_utterance("test", "decoder/greedy", "CER")
    for cell in ("one", "8 1 1", "8 1 1 -1"):
        (copy.folder / "counts_test.csv").write_text(f"{heading}1,,,{cell}\n", encoding="utf-8")
        with pytest.raises(UserError, match="cannot be read .* make the copy again"):
            Result.read(copy.folder).per_utterance("test", "decoder/greedy", "WER")
