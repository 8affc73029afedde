"""What benchmarks/llm_cache.py prints; no time is asserted."""

import importlib

from tests.support.language_models import save_language_model
from tests.support.tiny import ROOT


def test_both_ways_write_the_same(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    folder = save_language_model(tmp_path / "llama", "llama")
    importlib.import_module("llm_cache").main([str(folder), "--prefix", "7", "--tokens", "5", "--rounds", "1"])
    assert capsys.readouterr().out.startswith("5 tokens behind 7 embeddings: ")
