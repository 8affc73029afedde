"""What NeMo and transformers call the weights of a Fast Conformer with CTC, and what they are called here."""

import re

import torch

from serenanet_modules.runs.pickled import wrong_weight

NAMES = (  # what a piece of a name is called by NeMo or transformers, and here; the first that fits counts
    (r"^encoder\.subsampling\.layers\.(\d)\.(depth|point)wise_conv\.", r"acoustic.frontend.\2wise.\1."),
    (r"^encoder\.subsampling\.conv_in\.", "acoustic.frontend.first."),
    (r"^encoder\.(?:subsampling\.layers|pre_encode\.conv)\.0\.", "acoustic.frontend.first."),
    (r"^encoder\.(?:subsampling\.layers|pre_encode\.conv)\.2\.", "acoustic.frontend.depthwise.0."),
    (r"^encoder\.(?:subsampling\.layers|pre_encode\.conv)\.3\.", "acoustic.frontend.pointwise.0."),
    (r"^encoder\.(?:subsampling\.layers|pre_encode\.conv)\.5\.", "acoustic.frontend.depthwise.1."),
    (r"^encoder\.(?:subsampling\.layers|pre_encode\.conv)\.6\.", "acoustic.frontend.pointwise.1."),
    (r"^encoder\.(?:subsampling\.linear|pre_encode\.out)\.", "acoustic.frontend.project."),
    (r"^(?:ctc_head|decoder\.decoder_layers\.0)\.", "decoder."),
    (r"^encoder\.(layers\.\d+)\.", r"acoustic.encoder.\1."),
)
IN_LAYERS = (
    ("norm_feed_forward1.", "ffn_before.0."),
    ("feed_forward1.linear1.", "ffn_before.1."),
    ("feed_forward1.linear2.", "ffn_before.4."),
    ("norm_self_att.", "norm_attention."),
    (r"self_attn\.(?:linear_([qkv])|([qkv])_proj)\.", r"attention.\1\2."),
    (r"self_attn\.(?:linear_pos|relative_k_proj)\.", "attention.position."),
    (r"self_attn\.(?:linear_out|o_proj)\.", "attention.out."),
    (r"self_attn\.(?:pos_)?bias_u$", "attention.content_bias"),
    (r"self_attn\.(?:pos_)?bias_v$", "attention.position_bias"),
    ("norm_conv.", "convolution.inward.0."),
    (r"conv\.pointwise_conv1\.", "convolution.inward.1."),
    (r"conv\.depthwise_conv\.", "convolution.depthwise."),
    (r"conv\.(?:batch_)?norm\.running_mean$", "convolution.outward.0.mean"),
    (r"conv\.(?:batch_)?norm\.running_var$", "convolution.outward.0.variance"),
    (r"conv\.(?:batch_)?norm\.(weight|bias)$", r"convolution.outward.0.\1"),
    (r"conv\.pointwise_conv2\.", "convolution.outward.2."),
    ("norm_feed_forward2.", "ffn_after.0."),
    ("feed_forward2.linear1.", "ffn_after.1."),
    ("feed_forward2.linear2.", "ffn_after.4."),
    ("norm_out.", "norm."),
)
BIASED = re.compile(
    r"\.(?:ffn_\w+\.[14]|attention\.(?:qkv|out)|convolution\.(?:inward\.1|depthwise|outward\.2))\.weight$"
)
MATRIX = re.compile(
    rf"{BIASED.pattern}|\.(?:first|project|depthwise\.\d|position)\.weight$|\.attention\.[qkv]\.weight$"
)
POINTWISE = re.compile(r"\.pointwise\.\d\.weight$|convolution\.(?:inward\.1|outward\.2)\.weight$|^decoder\.weight$")


def our_names(tensors):
    """Tensors of a CTC model or its encoder, as NeMo or transformers call them, under the names of a `CTCModel`.

    What has no place there is left out. Biases that its layers lack are zeros.

    Parameters
    ----------
    tensors : dict of str to Tensor
        Of an encoder alone, names begin with ``encoder.`` too.

    Returns
    -------
    dict of str to Tensor

    Raises
    ------
    ValueError
        For tensors that are no weights, or not those of such a model.
    """
    found = {}
    for name, tensor in tensors.items():
        if (ours := _renamed(name)) is not None:
            _check(name, tensor, matrix=bool(MATRIX.search(ours) or POINTWISE.search(ours)))
            if ours in found:
                raise ValueError(f"{name} is there under two names")
            found[ours] = tensor.detach().flatten(1) if POINTWISE.search(ours) else tensor.detach()
    for name in [name for name in found if name.endswith(".attention.q.weight")]:
        _join_heads(found, name.removesuffix("q.weight"))
    for name in filter(BIASED.search, list(found)):
        found.setdefault(f"{name.removesuffix('weight')}bias", found[name].new_zeros(len(found[name])))
    _turn_projection(found)
    return found


def _check(name, tensor, matrix):
    if (wrong := wrong_weight(tensor)) is not None:
        raise ValueError(f"{name} {wrong}")
    if tensor.dim() < 1 + matrix or not tensor.numel():
        raise ValueError(f"{name} has the shape {tuple(tensor.shape)}")


def _turn_projection(found):
    """Its inputs have the channels last here."""
    name = "acoustic.frontend.project.weight"
    if (project := found.get(name)) is None:
        return
    if (first := found.get("acoustic.frontend.first.weight")) is None:
        raise ValueError("its front end ends in a linear layer, but its first convolution is missing")
    if project.dim() != 2 or project.shape[1] % len(first):
        raise ValueError(f"frontend.project.weight has the shape {tuple(project.shape)}, for {len(first)} filters")
    found[name] = project.unflatten(1, (len(first), -1)).transpose(1, 2).flatten(1)


def _renamed(name):
    for pattern, ours in NAMES:
        if re.match(pattern, name):
            name = re.sub(pattern, ours, name)
            break
    else:
        return None
    if (layer := re.match(r"acoustic\.encoder\.layers\.\d+\.", name)) is None:
        return name
    for pattern, ours in IN_LAYERS:
        if re.match(pattern, name[layer.end() :]):
            return layer[0] + re.sub(pattern, ours, name[layer.end() :])
    return None


def _join_heads(found, where):
    """Queries, keys and values are one layer here."""
    for kind in ("weight", "bias"):
        parts = [found.pop(f"{where}{part}.{kind}", None) for part in "qkv"]
        if all(part is not None for part in parts):
            if len({part.shape for part in parts}) > 1:
                shapes = ", ".join(str(tuple(part.shape)) for part in parts)
                raise ValueError(f"q, k and v of {where.removeprefix('acoustic.')} have different shapes, {shapes}")
            found[f"{where}qkv.{kind}"] = torch.cat(parts)
