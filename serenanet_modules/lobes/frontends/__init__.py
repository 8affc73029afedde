"""From features to the encoder's frames."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "athm": ["ATHM"],
        "strided": ["StridedConv"],
        "stem": ["ConvStem"],
        "conv2d": ["ConvFrontend"],
        "striding": ["DepthwiseStriding"],
    },
)
