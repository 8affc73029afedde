"""The model card: data that the hub reads, the figures of result.json, and nobody's text lost."""

import copy
import json

import pytest
import ruamel.yaml

from serenanet_modules.runs.model_card import card, write_card


def measured(percent):
    return {"percent": percent, "interval_95": [percent - 1, percent + 1]}


RESULT = {
    "dataset": "CommonVoice/sw",
    "experiment": "small",
    "seed": 1986,
    "scoring": "average",
    "commit": "abc",
    "device": "cpu",
    "epochs": 3,
    "units": {"kind": "char", "size": 28},
    "parameters": {"encoder": 900000, "total": 1035451},
    "seconds": {"training": 1234.5},
    "data": {"locales": ["sw", "zh-CN"], "splits": {"train": {"hours": 12.5}}},
    "results": {
        "dev": {"average/greedy": {"WER": measured(11.0)}},
        "test": {
            "decoder/greedy": {"WER": measured(25.0), "CER": measured(4.0)},
            "average/greedy": {"WER": measured(23.5), "CER": measured(3.25)},
        },
    },
}


def front_and_body(text):
    _, front, body = text.split("---\n", 2)
    return ruamel.yaml.YAML(typ="safe").load(front), body


def test_what_the_hub_reads():
    front, body = front_and_body(card(RESULT))
    assert front["language"] == ["sw", "zh"] and front["license"] == "unknown" and front["metrics"] == ["cer", "wer"]
    (model,) = front["model-index"]
    (entry,) = model["results"]
    assert model["name"] == "small" and entry["dataset"]["split"] == "test"
    assert entry["metrics"] == [{"type": "wer", "value": 23.5}, {"type": "cer", "value": 3.25}]  # of the usual decoder
    for shown in ("1,035,451", "12.5 h", "28 of kind char", "commit abc, seed 1986", "23.50", "25.00"):
        assert shown in body


START = {
    **{
        "folder": "results/CommonVoice/en/big/1986",
        "experiment": "big",
        "commit": "fed",
        "hours": 100.5,
        "locales": ["en"],
    },
    **{"units": {"kind": "bpe", "size": 500}, "gave": "weights", "symbols": {"kept": 20, "of": 28}},
}


def test_what_it_started_from():
    """Another run by its experiment, one of the hub by its name there; of a run from nothing there is no such row."""
    told = "commit fed, 100.5 h of en, 500 units of kind bpe, 20 of 28 symbols kept"
    assert f"| started from | big, {told} |" in card({**RESULT, "pretrained": START})
    hub = card({**RESULT, "pretrained": {**START, "folder": "owner/name", "revision": "0123"}})
    assert "| started from | owner/name, commit fed, revision 0123, " in hub
    assert "| started from | someone/conformer, revision 7 |" in card(
        {**RESULT, "pretrained": {"folder": "someone/conformer", "revision": "7", "gave": "weights"}}
    )
    assert "started from" not in card({**RESULT, "pretrained": None}) + card(RESULT)


def test_what_was_taken_of_each_part():
    """As result.json has it; what there was none of is not told."""
    parts = {
        "encoder": {"loaded": 900_000, "by_symbol": 0, "new": 0, "left_out": 0},
        "decoder": {"loaded": 0, "by_symbol": 1240, "new": 1, "left_out": 70},
    }
    body = card({**RESULT, "pretrained": {**START, "parts": parts}})
    assert (
        "| parameters of encoder | 900,000 loaded |\n| parameters of decoder | 1,240 by symbol, 1 new, 70 left out |"
        in body
    )


def test_public_parts_are_named():
    """In the body all of them, as bases for the hub those that are there."""
    public = [
        {"part": "public encoder", "source": "openai/whisper-base", "revision": "e37", "sha256": "ab12"},
        {"part": "language model", "source": "doge", "sha256": "cd34"},
    ]
    front, body = front_and_body(card({**RESULT, "public": public}))
    assert front["base_model"] == ["openai/whisper-base"]
    assert "| public encoder | openai/whisper-base, revision e37, SHA-256 ab12 |" in body
    assert "| language model | doge, SHA-256 cd34 |" in body
    started = {**START, "folder": "owner/name", "revision": "0123"}
    front, _ = front_and_body(card({**RESULT, "public": public, "pretrained": started}))
    assert front["base_model"] == ["openai/whisper-base", "owner/name"]
    front, _ = front_and_body(card({**RESULT, "public": public[1:], "pretrained": START}))
    assert "base_model" not in front


@pytest.mark.parametrize("name", ["a\n---\nlicense: mit", "x: [", "<script>`|", "{0.__class__}", "'\"", "\u202ea"])
def test_names_are_only_names(name):
    """Whatever a run is called, the card says the same."""
    result = copy.deepcopy(RESULT)
    result["experiment"] = result["dataset"] = name
    front, body = front_and_body(card(result))
    assert front["model-index"][0]["name"] == " ".join(name.split()) and front["license"] == "unknown"
    assert "<script>" not in body and "\nlicense: mit" not in body and "23.50" in body


def test_what_somebody_wrote_stays(tmp_path):
    (tmp_path / "result.json").write_text(json.dumps(RESULT), encoding="utf-8")
    write_card(tmp_path)
    file = tmp_path / "README.md"
    first = file.read_text(encoding="utf-8")
    assert first.startswith(card(RESULT))
    (tmp_path / "result.json").write_text(json.dumps({**RESULT, "commit": "def"}), encoding="utf-8")
    write_card(tmp_path)
    assert "commit def" in file.read_text(encoding="utf-8")
    edited = first.replace("license: unknown", "license: cc0-1.0")
    file.write_text(edited, encoding="utf-8")
    write_card(tmp_path)
    assert file.read_text(encoding="utf-8") == edited


def test_which_epochs_weights_it_has():
    """A row where the result says it."""
    found = {"epochs": [2, 3], "measure": "CER", "best": 13.62, "mean": 13.1, "averaged": [2, 3]}
    row = "| weights | mean of epochs 2, 3 (dev CER 13.1; best single 13.6) |"
    assert row in card({**RESULT, "weights": found}) and "| weights |" not in card(RESULT)
