"""Importing this imports SpeechBrain, without SciPy's statistics.

They would be a fifth of a training's imports, for a sampler that nothing here uses; where it is used, they come.
"""

import importlib
import sys
import types

STATISTICS = "scipy.stats"


class _Later:
    """What a module calls ``name``, looked up at its first use."""

    def __init__(self, name):
        self._name = name

    def __getattr__(self, attribute):
        return getattr(getattr(importlib.import_module(STATISTICS), self._name), attribute)


if not {STATISTICS, "speechbrain"}.intersection(sys.modules):
    sys.modules[STATISTICS] = types.ModuleType(STATISTICS)
    sys.modules[STATISTICS].lognorm = _Later("lognorm")
    try:
        importlib.import_module("speechbrain.dataio.sampler")
    finally:
        del sys.modules[STATISTICS]  # everybody else gets the real ones
