"""What benchmarks/gpu_check.py says, and how its page comes to be; nothing is trained."""

import importlib
import json

import pytest
import torch

from serenanet_modules.errors import UserError
from tests.support.tiny import ROOT

REFUSAL = "error: serenanet.yaml: 'precision' fp8 needs a GPU of compute capability 8.9, and this one has 8.0; use bf16"


@pytest.fixture(name="check")
def _check(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("gpu_check")


def test_a_machine_without_a_gpu_is_refused(check, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="no GPU that PyTorch can use; run it where nvidia-smi shows one"):
        check.main(["--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_the_page(check, monkeypatch, tmp_path, capsys):
    """Refused precisions stand in the table with their reason; what fails is told, costs no other part, and counts."""
    asked = []

    def run(options, name, *words):
        asked.append(name)
        if name == "precision_fp8":
            raise check.Failed(REFUSAL)
        if name == "bf16":
            raise check.Failed("error: memory ran out")
        if name == "tests":
            return "...\n3 passed, 900 deselected"
        dev = {"loss": 1.5, "WER": 90.0, "CER": 30.0}
        result = {"history": [{"dev": dev, "train": {"loss": 2.0}}], "seconds": {"training": 12.0}, "precision": {}}
        (options.out / name).mkdir(exist_ok=True)
        (options.out / name / "result.json").write_text(json.dumps(result))

    monkeypatch.setattr(check, "run", run)
    words = ["--device", "cpu", "--out", str(tmp_path), "--parts", "tests", "training", "precisions"]
    assert check.main(words) == 1
    page = (tmp_path / "gpu_check.md").read_text()
    assert page.startswith("# GPU check\n\n**A rehearsal on a CPU, which shows nothing of a GPU.**")
    assert "`pytest -m gpu`: 3 passed, 900 deselected" in page and "**Failed.** error: memory ran out" in page
    assert "| fp32 | 1.500 | 90.0 | 12 | 0 layers converted |" in page
    assert "| fp8 | | | | serenanet.yaml: 'precision' fp8 needs a GPU of compute capability 8.9" in page
    assert len(asked) == 2 + len(check.KINDS) and str(tmp_path / "gpu_check.md") in capsys.readouterr().out
    asked.clear()
    assert check.main([*words[:-3], "precisions"]) == 0 and asked == ["precision_fp8"]  # what is finished stays
