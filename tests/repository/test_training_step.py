"""The page that shows a training step runs as it stands."""

import os
import re
import subprocess
import sys

import pytest

from tests.support.tiny import ROOT

PAGE = ROOT / "docs/training_step.md"


@pytest.mark.slow
def test_the_page_runs():
    """In sixty lines the loss falls, and the model says something like what it has heard."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(code.splitlines()) <= 60
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    losses = [float(loss) for loss in re.findall(r"'ctc': ([\d.]+)", done.stdout)]
    print(f"{losses[0]} nats per character, then {losses[-1]}")
    assert len(losses) == 60 and losses[-1] < losses[0] / 3
    assert len(done.stdout.splitlines()) == len(losses) + 8
