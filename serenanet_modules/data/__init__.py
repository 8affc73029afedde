"""From a corpus to batches: manifest, preparation, text, phonemes, units, audio, augmentation."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "augment": ["SpecAugment"],
    },
)
