"""What benchmarks/llm_bits.py prints; no time is asserted."""

import importlib

from tests.support.language_models import save_language_model
from tests.support.tiny import ROOT


def test_fewer_bits_are_compared_with_all(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    folder = save_language_model(tmp_path / "llama", "llama")
    importlib.import_module("llm_bits").main([str(folder), "--tokens", "2"])
    rows = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines() if line.startswith("|")][2:]
    assert [row[0].strip() for row in rows] == ["float32", "int8", "nf4"]
    away, mib = ([float(row[i].strip(" %")) for row in rows] for i in (1, 3))
    assert away[0] == 0 < away[1] < away[2] < 100 and mib == sorted(mib, reverse=True)
