"""What configurations of others' Fast Conformers say, by our keys; a model that ours cannot be is refused."""

import reprlib

from serenanet_modules.errors import UserError

SIZES = {"d_model": 2**14, "n_heads": 2**8, "n_layers": 2**10, "d_ffn": 2**16, "kernel_size": 2**10, "n_mels": 2**10}
SIZES |= {"filters": 2**14}  # and the largest that any may have
MOST_TOKENS = 2**10  # that see all
TRANSFORMERS = {  # what its keys are where a file says nothing
    **{"subsampling_factor": 8, "subsampling_conv_kernel_size": 3, "subsampling_conv_stride": 2, "hidden_act": "silu"},
    **{"conv_kernel_size": 9, "num_mel_bins": 80, "subsampling_conv_channels": 256, "scale_input": True},
}
NEMO = {  # the same of NeMo
    **{"subsampling": "striding", "subsampling_factor": 4, "subsampling_conv_channels": -1, "feat_out": -1},
    **{"causal_downsampling": False, "reduction": None, "ff_expansion_factor": 4, "xscaling": True},
    **{"self_attention_model": "rel_pos", "untie_biases": True, "att_context_size": None, "global_tokens": 0},
    **{"global_tokens_spacing": 1, "global_attn_separate": False, "att_context_style": "regular"},
    **{"conv_kernel_size": 31, "conv_norm_type": "batch_norm", "conv_context_size": None},
    "conv_context_style": "regular",
}
NORMS = {"batch_norm": "batch", "layer_norm": "layer"}


def told_by_transformers(config, path):
    """What config.json says.

    Returns
    -------
    dict
        Values of the front end and the encoder by key; ``scaled``: whether the encoder multiplies what it reads.

    Raises
    ------
    UserError
    """
    whole = _Said(config, path)
    kind = whole.one_of("model_type", "parakeet_ctc", "parakeet_encoder")
    said = whole.inside("encoder_config", TRANSFORMERS) if kind == "parakeet_ctc" else _Said(config, path, TRANSFORMERS)
    for key, only in (("subsampling_factor", 8), ("subsampling_conv_kernel_size", 3), ("subsampling_conv_stride", 2)):
        said.one_of(key, only)
    said.one_of("hidden_act", "silu")
    names = {"d_model": "hidden_size", "n_heads": "num_attention_heads", "n_layers": "num_hidden_layers"}
    names |= {"d_ffn": "intermediate_size", "kernel_size": "conv_kernel_size", "n_mels": "num_mel_bins"}
    names |= {"filters": "subsampling_conv_channels"}
    told = {ours: said.size(theirs, SIZES[ours]) for ours, theirs in names.items()}
    return told | {"causal": False, "norm": "batch", "scaled": said.switch("scale_input")}


def told_by_nemo(config, path):
    """What model_config.yaml says; see `told_by_transformers`."""
    said = _Said(config, path).inside("encoder", NEMO)
    width = said.size("d_model", SIZES["d_model"])
    for key, only in (("subsampling", "dw_striding"), ("subsampling_factor", 8), ("untie_biases", True)):
        said.one_of(key, only)
    for key, *only in (("reduction", None), ("feat_out", -1, width), ("conv_context_style", "regular")):
        said.one_of(key, *only)
    names = {"n_heads": "n_heads", "n_layers": "n_layers", "kernel_size": "conv_kernel_size", "n_mels": "feat_in"}
    names |= {} if said["subsampling_conv_channels"] == -1 else {"filters": "subsampling_conv_channels"}
    told = {"d_model": width, "filters": width} | {ours: said.size(name, SIZES[ours]) for ours, name in names.items()}
    told["d_ffn"] = width * said.size("ff_expansion_factor", SIZES["d_ffn"] // width)
    told["causal"], told["scaled"] = said.switch("causal_downsampling"), said.switch("xscaling")
    told["norm"] = NORMS[said.one_of("conv_norm_type", *NORMS)]
    return told | _contexts(said, told["kernel_size"])


def _contexts(said, kernel_size):
    """What frames of NeMo's encoder see."""
    style = said.one_of("att_context_style", "regular", "chunked_limited")
    around = (kernel_size - 1) // 2
    if style == "chunked_limited":
        said.one_of("self_attention_model", "rel_pos")
        said.one_of("causal_downsampling", True)
        said.one_of("conv_context_size", "causal", [kernel_size - 1, 0])
        pairs = said.pairs("att_context_size")
        if len({left for left, _ in pairs}) > 1:
            said.refuse("att_context_size", "only models with one number of frames to the left can be opened")
        return {"look_aheads": [right for _, right in pairs], "left_context": pairs[0][0]}
    said.one_of("conv_context_size", None, [around, around])
    if said.one_of("self_attention_model", "rel_pos", "rel_pos_local_attn") == "rel_pos":
        if said["att_context_size"]:
            said.one_of("att_context_size", [-1, -1], [[-1, -1]])
        return {}
    (left, right), *more = said.pairs("att_context_size")
    if more or left != right or left < 1:
        said.refuse("att_context_size", "only models with as many frames to the left as to the right can be opened")
    said.one_of("global_tokens_spacing", 1)
    said.one_of("global_attn_separate", False)
    return {"window": left, "global_tokens": said.size("global_tokens", MOST_TOKENS, least=0)}


class _Said:
    """A mapping that anybody may have written: each value is checked when it is asked for."""

    def __init__(self, values, path, usual=None):
        self._values, self._path = {**(usual or {}), **values}, path

    def __getitem__(self, key):
        return self._values.get(key)

    def refuse(self, key, why):
        """Raise the sentence about a value."""
        raise UserError(f"{self._path}: its {key} is {_shown(self[key])}; {why}")

    def inside(self, key, usual):
        """The mapping under a key."""
        if not isinstance(self[key], dict):
            raise UserError(f"{self._path}: its configuration has no '{key}', so it is no Fast Conformer with CTC")
        return _Said(self[key], self._path, usual)

    def one_of(self, key, *values):
        """A value that must be one of these."""
        if not any(type(self[key]) is type(value) and self[key] == value for value in values):
            self.refuse(key, f"only models with {' or '.join(map(repr, values))} can be opened")
        return self[key]

    def switch(self, key):
        """True or false."""
        return self.one_of(key, True, False)

    def size(self, key, most, least=1):
        """A whole number."""
        if type(self[key]) is not int or not least <= self[key] <= most:
            self.refuse(key, f"such a model can have {least} to {most}")
        return self[key]

    def pairs(self, key):
        """[left, right] pairs of numbers of frames, of which there may be one alone."""
        found = self[key]
        pairs = [found] if isinstance(found, list) and found and not isinstance(found[0], list) else found
        if not (isinstance(pairs, list) and pairs and all(map(_is_pair, pairs))):
            self.refuse(key, "it must be [left, right] frames, or a list of such pairs")
        return pairs


def _is_pair(value):
    return isinstance(value, list) and len(value) == 2 and all(type(frames) is int for frames in value)


def _shown(value):
    try:
        return reprlib.repr(value)
    except ValueError:  # Python shows no number of so many digits
        return "a number of too many digits"
