"""Network parts and whole models; knows neither data nor training.

An encoder-like lobe maps (x (B, T, F), lengths (B,) frames) to the same pair; past a length its output is zero.
A front end also says its ``output_stride``: T frames become ceil(T / output_stride).

A hyper-parameter file names a class by its room, such as ``!new:serenanet_modules.lobes.ConMambaEncoder``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "features": ["LogMel"],
        "ctc_model": ["CTCModel"],
        "hybrid_model": ["HybridModel"],
        "trunk": ["PretrainingModel"],
    },
)
