"""Tensors of a Whisper by our names: those of an acoustic model and an attention decoder of the same layers."""

import re

import torch

ENCODER = {  # beginnings of transformers' names, and what stands for them here
    "conv1": "acoustic.frontend.first",
    "conv2": "acoustic.frontend.second",
    "layers": "acoustic.encoder.layers",
    "layer_norm": "acoustic.encoder.norm",
}
ENCODER_LAYER = {
    "self_attn": "attention",
    "self_attn_layer_norm": "norm_attention",
    "final_layer_norm": "norm_ffn",
    "fc1": "ffn.0",
    "fc2": "ffn.3",
}
EMBEDDING = "attention.stack.embedding"
DECODER = {
    "embed_tokens": EMBEDDING,
    "embed_positions": "attention.stack.positions",
    "layers": "attention.stack.layers",
    "layer_norm": "attention.stack.norm",
}
DECODER_LAYER = {
    "self_attn": "mixer",
    "self_attn_layer_norm": "norm_mixer",
    "encoder_attn": "cross",
    "encoder_attn_layer_norm": "norm_cross",
    "final_layer_norm": "ffn.0",
    "fc1": "ffn.1",
    "fc2": "ffn.4",
}
SIDES = {"encoder": (ENCODER, ENCODER_LAYER), "decoder": (DECODER, DECODER_LAYER)}
NAME = re.compile(r"(?:model\.)?(encoder|decoder)\.([a-z_0-9]+)\.(?:(\d+)\.([a-z_0-9]+)\.)?(.+)")


def our_names(tensors, end):
    """Tensors by our names.

    Parameters
    ----------
    tensors : dict of str to Tensor
        As transformers' Whisper names them. What is not needed is left out: sines, which are computed here, and the
        output layer, which is the embedding.
    end : int
        The row of the embedding that ends a text. It becomes the first, so that label 0 is the border of a sentence;
        those before it move by one, see `data.whisper_units`.
    """
    found = {}
    for name, tensor in tensors.items():
        if matched := NAME.fullmatch(name):
            side, part, number, inner, rest = matched.groups()
            parts, layer = SIDES[side]
            if part in parts and (number is None or inner in layer):
                middle = "" if number is None else f"{number}.{layer[inner]}."
                found[f"{parts[part]}.{middle}{rest}"] = tensor
    table = f"{EMBEDDING}.weight"
    if table in found:
        rows = found[table]
        found[table] = torch.cat([rows[end : end + 1], rows[:end], rows[end + 1 :]])
    return found
