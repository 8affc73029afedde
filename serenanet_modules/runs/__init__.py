"""A result folder: claimed and written by a run, opened as a recogniser, a language model or a start."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "encoder_asr": ["Encoder", "Tokenizer", "greedy_labels", "mono", "FolderPretrainer"],
    },
)
