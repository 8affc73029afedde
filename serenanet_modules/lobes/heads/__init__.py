"""What stands on an encoder's output: refinement and masked prediction."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "car": ["CAR"],
        "pessl": ["PESSL"],
        "unfolding": ["Unfolding"],
    },
)
