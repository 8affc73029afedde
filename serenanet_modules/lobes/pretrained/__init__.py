"""Public encoders as acoustic models: wav2vec 2.0, XLS-R, MMS, HuBERT, WavLM, w2v-BERT 2.0, Whisper's encoder.

- `model`: the acoustic model, an encoder and a head of this project's layers.
- `encoder`: any public encoder behind one interface.
- `families`: which there are, and what of their configurations counts.
- `waves`, `w2v_bert`, `whisper`: one file a family of networks, of transformers' layers.
- `fbank`, `log_mel`: the features that some of them read.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "encoder": ["PublicEncoder"],
        "model": ["EncodedModel"],
    },
)
