"""Layers that front ends, encoders, decoders and heads are made of."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "chunking": ["DynamicChunking", "FixedPooling"],
        "mamba": ["Mamba"],
        "mamba2": ["Mamba2"],
    },
)
