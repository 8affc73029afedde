"""What benchmarks/endpoints.py prints; no error rate is asserted."""

import importlib

from tests.support.folders import make_random_result
from tests.support.presets import preset
from tests.support.tiny import ROOT, make_corpus


def test_one_stream_is_heard_four_ways(monkeypatch, tmp_path, capsys):
    """One by one, by the rules, cut by length alone, and never cut."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    small = [("encoder.n_layers", "1"), ("d_model", "32")]
    folder = make_random_result(tmp_path / "run", preset("conmamba_causal/small"), *small)
    corpus = make_corpus(tmp_path / "sw", sizes={"train": 1, "dev": 1, "test": 2})
    importlib.import_module("endpoints").main([str(folder), str(corpus / "test.tsv"), "--pauses", "0.3", "1.6"])
    ways = [line.split("|")[1].strip() for line in capsys.readouterr().out.splitlines() if line.startswith("|")][2:]
    assert len(ways) == 4 and ways[0] == "one by one" and ways[-1] == "never cut"
