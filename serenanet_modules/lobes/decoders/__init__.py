"""Models that predict each label from those before it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "attention_decoder": ["AttentionDecoder", "LabelLM"],
    },
)
