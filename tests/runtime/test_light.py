"""What a training imports, and what comes only when it is used."""

import subprocess
import sys

CODE = """
import sys
import serenanet_modules.training.experiment
from serenanet_modules.training import brains
[getattr(brains, name) for name in brains.__all__]

import torch
from serenanet_modules.lobes.blocks.mamba import Mamba
from serenanet_modules.runtime.eager import eager
block = Mamba(4, d_state=2)
from serenanet_modules.training.muon import Muon
optimizer = eager(Muon)(block.parameters(), lr=0.1)
block(torch.ones(1, 3, 4)).sum().backward()
optimizer.step()
optimizer.zero_grad()
optimizer.load_state_dict(optimizer.state_dict())
print(*sys.modules)
from speechbrain.dataio import sampler
print(sampler.lognorm.ppf(0.5, 1), "scipy.stats" in sys.modules)
import scipy.stats
print(scipy.stats.norm.ppf(0.5))
"""


def test_a_training_imports_no_statistics_no_plots_and_no_compiler():
    """Nor does its first step; SciPy's are there as soon as SpeechBrain's sampler, or anybody else, asks for them."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    imported, sampler, others = done.stdout.splitlines()
    assert "speechbrain.dataio.sampler" in imported.split()
    assert not {"scipy.stats", "matplotlib", "sklearn", "torch._dynamo"}.intersection(imported.split())
    assert (sampler, others) == ("1.0 True", "0.0")
