"""From a command line to a trained and evaluated model."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "muon": ["Muon"],
        "schedule": ["WarmupCosine"],
    },
)
