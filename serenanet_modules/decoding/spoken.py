"""Which language is spoken, by a label decoder that writes a language's label before a text (Radford et al. 2022)."""

import torch

AUTO = "auto"  # stands for a language that is to be heard


@torch.no_grad()
def spoken(decoder, units, memory, lengths):
    """The likeliest language of each utterance, as transformers' ``detect_language`` finds it.

    Parameters
    ----------
    decoder : AttentionDecoder
        In evaluation mode.
    units : WhisperUnits
        Of several languages.
    memory : Tensor
        Encoder output (B, T, d_model).
    lengths : Tensor
        (B,) int64 frames.

    Returns
    -------
    list of str
        Codes, such as ``sw``.
    """
    decoder = decoder.behind(units.prefix_start)
    logits = decoder.first_logits(decoder.init_state(memory.float(), lengths))  # (B, V)
    codes, labels = zip(*units.spoken.items(), strict=True)
    return [codes[i] for i in logits[:, list(labels)].argmax(-1).tolist()]
