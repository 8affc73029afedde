"""One class per task: its data, losses and evaluation."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "ctc": ["CTCBrain"],
        "hybrid": ["HybridBrain"],
        "language_model": ["LanguageModelBrain"],
        "pessl": ["PESSLBrain"],
        "speech_llm": ["SpeechLLMBrain"],
    },
)
