"""Encoders: frames in, frames of the same size out."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "conformer": ["ConformerEncoder"],
        "conmamba": ["ConMambaEncoder"],
        "fast_conformer": ["FastConformerEncoder"],
        "hmamba": ["ChunkedEncoder"],
        "rotary": ["RotaryTransformerEncoder"],
        "sinusoidal": ["SinusoidalEncoder"],
        "ssm": ["SSMEncoder"],
    },
)
