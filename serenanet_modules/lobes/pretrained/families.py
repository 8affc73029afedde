"""Which public encoders there are: by the ``model_type`` of a configuration, classes and keys that are known.

Only these classes are ever built, and of a configuration only these keys are read: nothing that it may say besides,
such as ``auto_map``, is looked at.
"""

import importlib
from dataclasses import dataclass
from operator import attrgetter

MOST_LAYERS, MOST_POSITIONS, MOST_WIDTH = 200, 2**14, 2**15
MOST_CONTEXT, CONTEXTS = 2**11, ("context_size", "max_pos_emb")  # of Granite, which makes a table of their square
MOST_TABLE, POSITIONS, WIDTH = 2**24, 5000, 1024  # of relative positions: numbers, and what w2v-BERT has by default
NORMALISES = True  # a preprocessor that does not say it
FRONT = ("conv_dim", "conv_stride", "conv_kernel", "conv_bias", "feat_extract_norm", "feat_extract_activation")
DROPOUTS = ("hidden_dropout", "activation_dropout", "attention_dropout", "feat_proj_dropout")
SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act", "layer_norm_eps")
WAVES = (
    *(*SIZES, *DROPOUTS, *FRONT),
    *("num_conv_pos_embeddings", "num_conv_pos_embedding_groups", "do_stable_layer_norm", "do_normalize"),
)


@dataclass(frozen=True)
class Family:
    """One kind of public encoder.

    Attributes
    ----------
    network : str
        This project's class, by module and name.
    module : str
        Of transformers, which holds what the next two name.
    config, base : str
        Its classes.
    keys : tuple of str
        Of a configuration, that say what the encoder computes; ``a.b`` is b of the part a, and ``do_normalize`` the
        preprocessor's.
    fixed : dict
        Keys with one value always: what draws at random by itself is off, and what comes after the layers is left out.
    attention : str
        Transformers' kind, of those that its class has.
    """

    network: str
    module: str
    config: str
    base: str
    keys: tuple
    fixed: dict
    attention: str = "sdpa"

    def configuration(self, values):
        """Transformers' configuration of plain values by key."""
        given = _nested({key: values[key] for key in self.keys if key in values and key != "do_normalize"})
        made = of_transformers(self.module, "configuration", self.config)(**given, **self.fixed)
        made._attn_implementation = self.attention
        return made

    def of_model(self, name):
        """A class of transformers that stands beside that of the model."""
        return of_transformers(self.module, "modeling", name)

    def base_class(self):
        """Transformers' class of the model, or of its encoder."""
        return of_transformers(self.module, "modeling", self.base)

    def network_class(self):
        """This project's class."""
        module, name = self.network.split(":")
        return getattr(importlib.import_module(f"{__package__}.{module}"), name)


def usual_values(kind):
    """What transformers have for the keys of a family, by its ``model_type``; {} where there is no such family."""
    family = FAMILIES.get(kind) if isinstance(kind, str) else None
    if family is None:
        return {}
    made = family.configuration({})
    found = {key: NORMALISES if key == "do_normalize" else attrgetter(key)(made) for key in family.keys}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in found.items()}


def of_transformers(model, kind, name):
    """A class of one of transformers' models; ``kind`` is configuration or modeling."""
    try:
        module = importlib.import_module(f"transformers.models.{model}.{kind}_{model}")
    except ImportError as error:
        raise ImportError(f"public models need transformers ({error}); pip install 'serenanet[pretrained]'") from None
    return getattr(module, name)


def _nested(values):
    """``a.b`` -> {a: {b: …}}."""
    found = {}
    for key, value in values.items():
        part, dot, name = key.rpartition(".")
        (found.setdefault(part, {}) if dot else found)[name] = value
    return found


GRANITE_ENCODER = (
    *("input_dim", "num_layers", "hidden_dim", "feedforward_mult", "num_heads", "dim_head", "output_dim"),
    *("context_size", "max_pos_emb", "dropout", "conv_kernel_size", "conv_expansion_factor"),
)
GRANITE_PROJECTOR = (
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act", "layer_norm_eps"),
    *("hidden_dropout_prob", "attention_probs_dropout_prob", "cross_attention_frequency", "encoder_hidden_size"),
)
STILL = {"layerdrop": 0.0, "mask_time_prob": 0.0, "mask_feature_prob": 0.0, "apply_spec_augment": False}
BEHIND = {"add_adapter": False}
FAMILIES = {
    "wav2vec2": Family(
        *("waves:WaveNetwork", "wav2vec2", "Wav2Vec2Config", "Wav2Vec2Model"),
        keys=(*WAVES, "adapter_attn_dim"),
        fixed=STILL | BEHIND,
    ),
    "hubert": Family(
        *("waves:WaveNetwork", "hubert", "HubertConfig", "HubertModel"),
        keys=(*WAVES, "feat_proj_layer_norm", "conv_pos_batch_norm"),
        fixed=STILL,
    ),
    "wavlm": Family(
        *("waves:WaveNetwork", "wavlm", "WavLMConfig", "WavLMModel"),
        keys=(*WAVES, "num_buckets", "max_bucket_distance"),
        fixed=STILL | BEHIND,
        attention="eager",  # its own, in fact
    ),
    "wav2vec2-bert": Family(
        *("w2v_bert:W2vBertNetwork", "wav2vec2_bert", "Wav2Vec2BertConfig", "Wav2Vec2BertModel"),
        keys=(
            *(
                *SIZES,
                *DROPOUTS,
                "conformer_conv_dropout",
                "conv_depthwise_kernel_size",
                "feature_projection_input_dim",
            ),
            *("position_embeddings_type", "rotary_embedding_base", "max_source_positions"),
            *("left_max_position_embeddings", "right_max_position_embeddings"),
        ),
        fixed=STILL | BEHIND | {"use_intermediate_ffn_before_adapter": False},
    ),
    "granite_speech": Family(
        *("granite:GraniteNetwork", "granite_speech", "GraniteSpeechConfig", "GraniteSpeechModel"),
        keys=(
            *("window_size", "downsample_rate", "text_config.hidden_size"),
            *(f"encoder_config.{key}" for key in GRANITE_ENCODER),
            *(f"projector_config.{key}" for key in GRANITE_PROJECTOR),
        ),
        fixed={},
    ),
    "whisper": Family(
        *("whisper:WhisperNetwork", "whisper", "WhisperConfig", "WhisperEncoder"),
        keys=(
            *("d_model", "encoder_layers", "encoder_attention_heads", "encoder_ffn_dim", "activation_function"),
            *("dropout", "attention_dropout", "activation_dropout", "num_mel_bins", "max_source_positions"),
        ),
        fixed={"encoder_layerdrop": 0.0, "apply_spec_augment": False, "decoder_layers": 1},
    ),
}


def chosen(config, families):
    """``model_type`` of anybody's configuration, and what ``families`` have under that.

    Raises
    ------
    ValueError
        For one that they do not have, or one that asks for code of its own.
    """
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in families:
        raise ValueError(f"model_type {kind!r} is not one of {', '.join(families)}")
    if config.get("auto_map"):
        raise ValueError("auto_map asks for Python code of the folder's own, which is never run; take another model")
    return kind, families[kind]


def known(config):
    """The `Family` of a configuration, and its plain values that count, with ``model_type``.

    Parameters
    ----------
    config : dict
        Anybody's.

    Raises
    ------
    ValueError
        For a family that is not known, a value that is no plain one, and sizes that no encoder has.
    """
    kind, family = chosen(config, FAMILIES)
    parts = {name: part for name, part in config.items() if isinstance(part, dict)}
    config = config | {f"{name}.{key}": value for name, part in parts.items() for key, value in part.items()}
    values = {key: config[key] for key in family.keys if key in config}
    for key, value in values.items():
        for part in value if isinstance(value, (list, tuple)) else [value]:
            _check(key, part)
    if isinstance(values.get("conv_dim"), (list, tuple)) and len(values["conv_dim"]) > MOST_LAYERS:
        raise ValueError(f"conv_dim has {len(values['conv_dim'])} layers; at most {MOST_LAYERS}")
    _check_table(values)
    return family, {"model_type": kind, **values}


def _check(key, value):
    if not isinstance(value, (int, float, str, bool, type(None))):
        raise ValueError(f"{key} is {value!r}, which is no plain value")
    most = MOST_LAYERS if key.endswith("_layers") else MOST_POSITIONS if "positions" in key else MOST_WIDTH
    most = MOST_CONTEXT if key.endswith(CONTEXTS) else most
    if isinstance(value, (int, float)) and not 0 <= value <= most:
        raise ValueError(f"{key} is {value}, out of range")


def _check_table(values):
    """Refuse relative positions whose table, which is made before it is a buffer, takes much memory."""
    if values.get("position_embeddings_type") != "relative":
        return
    positions, width = values.get("max_source_positions", POSITIONS), values.get("hidden_size", WIDTH)
    if isinstance(positions, int) and isinstance(width, int) and positions * width > MOST_TABLE:
        raise ValueError(f"max_source_positions is {positions} and hidden_size {width}, whose table is out of range")
