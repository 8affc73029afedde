"""Which public causal language models there are: by ``model_type``, transformers' classes and the keys that are known.

As for encoders (`families`): only these classes are ever built, of a configuration only these keys are read.
"""

from dataclasses import dataclass

from serenanet_modules.lobes.pretrained.families import chosen, of_transformers

MOST = {"num_hidden_layers": 200, "vocab_size": 2**19, "max_position_embeddings": 2**20, "hidden_size": 2**15}
MOST |= {"intermediate_size": 2**17, "num_attention_heads": 2**10, "num_key_value_heads": 2**10, "head_dim": 2**12}
MOST |= {"num_experts": 2**16, "eos_token_id": 2**19, "bos_token_id": 2**19}
COMMON = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
    *("num_key_value_heads", "head_dim", "hidden_act", "max_position_embeddings", "rms_norm_eps"),
    *("tie_word_embeddings", "attention_dropout", "bos_token_id", "eos_token_id", "pad_token_id"),
    *("rope_parameters", "rope_theta", "rope_scaling"),
)
WINDOWS = ("use_sliding_window", "sliding_window", "max_window_layers", "layer_types")
BIASES = ("attention_bias", "mlp_bias")


@dataclass(frozen=True)
class LMFamily:
    """One kind of causal language model.

    Attributes
    ----------
    module : str
        Of transformers, which holds what the next two name.
    config, model : str
        Its classes.
    keys : tuple of str
        Of a configuration, beside `COMMON` ones.
    longest : str
        The key that says how many positions there are.
    """

    module: str
    config: str
    model: str
    keys: tuple = ()
    longest: str = "max_position_embeddings"

    def build(self, values):
        """Transformers' model of plain values by key, with random weights."""
        given = {key: value for key, value in values.items() if key != "model_type"}
        config = of_transformers(self.module, "configuration", self.config)(**given)
        config._attn_implementation = "sdpa"
        return of_transformers(self.module, "modeling", self.model)(config)


LANGUAGE_MODELS = {
    "llama": LMFamily("llama", "LlamaConfig", "LlamaForCausalLM", BIASES),
    "mistral": LMFamily("mistral", "MistralConfig", "MistralForCausalLM", ("sliding_window",)),
    "qwen2": LMFamily("qwen2", "Qwen2Config", "Qwen2ForCausalLM", WINDOWS),
    "qwen3": LMFamily("qwen3", "Qwen3Config", "Qwen3ForCausalLM", (*WINDOWS, "attention_bias")),
    "smollm3": LMFamily(
        *("smollm3", "SmolLM3Config", "SmolLM3ForCausalLM"),
        (*WINDOWS, *BIASES, "no_rope_layers", "no_rope_layer_interval"),
    ),
    "olmo2": LMFamily("olmo2", "Olmo2Config", "Olmo2ForCausalLM", ("attention_bias",)),
    "granite": LMFamily(
        *("granite", "GraniteConfig", "GraniteForCausalLM"),
        (*BIASES, "embedding_multiplier", "logits_scaling", "residual_multiplier", "attention_multiplier"),
    ),
    "doge": LMFamily(
        *("doge", "DogeConfig", "DogeForCausalLM"),
        (*BIASES, "sliding_window", "keep_window_size", "is_moe", "num_experts", "num_experts_per_tok"),
        longest="keep_window_size",  # beyond which transformers' Doge attends to what is to come
    ),
}


def known_language_model(config):
    """The `LMFamily` of a configuration, and its plain values that count; all else as of `families.known`."""
    kind, family = chosen(config, LANGUAGE_MODELS)
    values = {key: config[key] for key in (*COMMON, *family.keys) if config.get(key) is not None}
    for key, value in values.items():
        _check(key, value)
        most = MOST.get(key)
        for number in value if isinstance(value, list) else [value]:
            if most and not (type(number) is int and 0 <= number <= most):
                raise ValueError(f"{key} is {number!r}, out of range")
    return family, {"model_type": kind, **values}


def _check(key, value, depth=0):
    """Refuse what is no plain value, or a large collection of some."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else None
    if parts is None:
        if not isinstance(value, (int, float, str, bool, type(None))):
            raise ValueError(f"{key} is {value!r}, which is no plain value")
    elif depth > 1 or len(parts) > MOST["num_hidden_layers"]:
        raise ValueError(f"{key} is larger than that of any language model")
    else:
        for part in parts:
            _check(key, part, depth + 1)
