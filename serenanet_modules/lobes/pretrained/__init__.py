"""Public encoders as acoustic models (wav2vec 2.0, XLS-R, MMS, HuBERT, WavLM, w2v-BERT 2.0, Whisper's encoder), and
public language models.

- `model`: the acoustic model, an encoder and a head of this project's layers.
- `encoder`: any public encoder behind one interface.
- `families`: which there are, and what of their configurations counts.
- `waves`, `w2v_bert`, `whisper`: one file a family of networks, of transformers' layers.
- `fbank`, `log_mel`: the features that some of them read.
- `causal_lm`: any public causal language model behind one interface; `language_models`: which there are.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "causal_lm": ["CausalLM"],
        "encoder": ["PublicEncoder"],
        "model": ["EncodedModel"],
    },
)
