"""Error rates by language and region, of what trainings and evaluations write."""

import csv
import json

import pytest
from matplotlib.image import imread

from serenanet_modules.analysis.languages import write
from serenanet_modules.cli import main
from serenanet_modules.errors import UserError
from tests.support.tiny import ROOT

TABLE = ROOT / "recipes/FLEURS/languages.tsv"
RATES = {"en_us": (20.0, 8.0), "fr_fr": (30.0, 12.0), "ru_ru": (40.0, 10.0), "th_th": (100.0, 25.0)}


def rate(percent):
    return {"percent": percent, "interval_95": [percent - 2, percent + 2]}


def measures(language):
    return {m: rate(percent) for m, percent in zip(("WER", "CER"), RATES[language], strict=True)}


@pytest.fixture
def evaluated(tmp_path):
    results = {f"test-{language}": measures(language) for language in RATES}
    confidence = {name: {"decoder": "decoder/greedy"} for name in results}
    (tmp_path / "scores.json").write_text(json.dumps({"results": results, "confidence": confidence}))
    return tmp_path


def test_the_score_is_the_character_error_rate_where_words_have_no_spaces(evaluated, capsys):
    assert main(["languages", str(evaluated), str(ROOT / "recipes/FLEURS"), "--sort", "score"]) == 0
    printed, told = capsys.readouterr()
    assert told == f"{evaluated}: languages.md, languages.csv, languages.png\n"
    regions = {line.split("  ")[0]: line.split()[-4:] for line in printed.splitlines()[:5]}
    assert regions["Western Europe"] == ["2", "25.00", "25.00", "10.00"]
    assert regions["South-East Asia"] == ["1", "25.00", "–", "25.00"]
    assert regions["all"] == ["4", "28.75", "30.00", "13.75"]
    assert "not measured: af_za, " in printed.replace("  ", " ")
    rows = {row["code"]: row for row in csv.DictReader((evaluated / "languages.csv").open(encoding="utf-8"))}
    assert len(rows) == 102 and list(rows)[:4] == ["en_us", "th_th", "fr_fr", "ru_ru"]
    assert (rows["th_th"]["score"], rows["th_th"]["low_95"], rows["th_th"]["WER"]) == ("25.0", "23.0", "100.0")
    page = (evaluated / "languages.md").read_text(encoding="utf-8")
    assert "| Thai | th_th | South-East Asia | CER | 25.00 | 23.00 … 27.00 | 100.00 | 25.00 |" in page
    assert "Swahili (sw_ke)" in page and "words have no spaces between them (Thai)" in page
    assert imread(evaluated / "languages.png").std() > 0.05  # something is drawn


def test_dev_sets_of_an_evaluation(evaluated, capsys):
    """`serenanet evaluate --split dev` calls them test-dev-…."""
    content = json.loads((evaluated / "scores.json").read_text())
    for part in ("results", "confidence"):
        content[part] = {name.replace("test-", "test-dev-"): found for name, found in content[part].items()}
    (evaluated / "scores.json").write_text(json.dumps(content))
    recipe = str(ROOT / "recipes/FLEURS")
    assert main(["languages", str(evaluated), recipe, "--split", "dev"]) == 0
    assert "Thai" in capsys.readouterr().out
    assert "\ndev, decoder/greedy, 4 language(s)\n" in (evaluated / "languages.md").read_text(encoding="utf-8")
    assert main(["languages", str(evaluated), recipe]) == 2
    assert "has no test set that is named after a language" in capsys.readouterr().err


def test_a_training_says_which_languages_and_decoders_it_has(tmp_path):
    results = {f"test-{language}": {"decoder/greedy": measures(language)} for language in ("en_us", "ru_ru")}
    (tmp_path / "result.json").write_text(json.dumps({"scoring": "decoder", "results": results}))
    (tmp_path / "hyperparams.yaml").write_text("language: en_us,ru_ru,sw_ke\n")
    assert "not measured: sw_ke\n" in write(tmp_path, TABLE, tmp_path)
    assert write(tmp_path, TABLE, tmp_path, role="dev") is None
    with pytest.raises(UserError, match="has no decoder 'car/greedy'; there are decoder/greedy"):
        write(tmp_path, TABLE, tmp_path, decoder="car/greedy")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["recipes/Mboshi"], "has no languages.tsv"),
        (["recipes/FLEURS", "--sort", "size"], "must be one of region, name"),
        (["recipes/FLEURS", "--split", "dev"], "has no dev set that is named after a language"),
    ],
)
def test_refusals(evaluated, capsys, arguments, sentence):
    assert main(["languages", str(evaluated), str(ROOT / arguments[0]), *arguments[1:]]) == 2
    assert sentence in capsys.readouterr().err
