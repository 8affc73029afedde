"""Network parts and whole models; knows neither data nor training.

An acoustic model (`acoustic`) turns sound into frames, heads read them. The parts that acoustic models are made of,
front ends and encoders, keep the contracts of `blocks.parts`.

A hyper-parameter file names a class by its room, such as ``!new:serenanet_modules.lobes.encoders.ConMambaEncoder``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "adapter": ["ConvAdapter", "QFormerAdapter", "StackAdapter"],
        "features": ["AbsoluteLogMel", "LogMel"],
        "ctc_model": ["CTCModel"],
        "hybrid_model": ["HybridModel"],
        "pretraining_model": ["PretrainingModel"],
        "spectral": ["SpectralModel"],
        "speech_llm": ["SpeechLLM"],
        "whisper_features": ["WhisperFeatures"],
    },
)
