"""Public encoders of all families at the size of a test, random: as configurations, and as folders of transformers."""

import torch

from serenanet_modules.lobes.pretrained.families import FAMILIES
from serenanet_modules.runs.public_encoder import CLASS, PART

FRONT = {
    "conv_dim": [8, 8, 8],
    "conv_stride": [10, 8, 4],
    "conv_kernel": [20, 8, 5],
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
LARGE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
TINY = {  # name -> configuration
    "wav2vec2": {"model_type": "wav2vec2", **SIZES, **FRONT},
    "wav2vec2-large": {"model_type": "wav2vec2", **SIZES, **FRONT, **LARGE},
    "mms": {"model_type": "wav2vec2", **SIZES, **FRONT, **LARGE, "adapter_attn_dim": 4},
    "hubert": {"model_type": "hubert", **SIZES, **FRONT},
    "hubert-large": {"model_type": "hubert", **SIZES, **FRONT, **LARGE},
    "mhubert": {"model_type": "hubert", **SIZES, **FRONT, "conv_pos_batch_norm": True},
    "wavlm": {"model_type": "wavlm", **SIZES, **FRONT, "do_normalize": False},
    "wavlm-large": {"model_type": "wavlm", **SIZES, **FRONT, **LARGE},
    "wav2vec2-bert": {
        "model_type": "wav2vec2-bert",
        **SIZES,
        "feature_projection_input_dim": 40,
        "conv_depthwise_kernel_size": 5,
        "left_max_position_embeddings": 6,
        "right_max_position_embeddings": 3,
    },
    "wav2vec2-bert-relative": {
        "model_type": "wav2vec2-bert",
        **SIZES,
        "feature_projection_input_dim": 40,
        "position_embeddings_type": "relative",
    },
    "wav2vec2-bert-rotary": {
        "model_type": "wav2vec2-bert",
        **SIZES,
        "feature_projection_input_dim": 40,
        "position_embeddings_type": "rotary",
    },
    "whisper": {
        "model_type": "whisper",
        "d_model": 16,
        "encoder_layers": 2,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 24,
        "num_mel_bins": 20,
        "max_source_positions": 50,  # a second
    },
}
TINY["whisper-30s"] = {**TINY["whisper"], "max_source_positions": 1500}
USUAL = "wav2vec2"  # has a norm that leaks, unless it is over valid frames


def settled(hparams, name=USUAL):
    """Hyper-parameters whose public parts, if they have some without a source yet, are tiny ones."""
    from tests.support.language_models import settled_llm  # which has encoders too

    for key in (PART, "model"):
        given = hparams.part(key, CLASS)
        if given is not None and given["config"] is None:
            name = given["source"] or name
            hparams.fill(key, {"source": name, "config": TINY[name]})
    return settled_llm(hparams)


def save_encoder(folder, name):
    """A folder as transformers write it, of random weights; returns it."""
    torch.manual_seed(0)
    told = dict(TINY[name])
    normalises = told.pop("do_normalize", True)
    family = FAMILIES[told.pop("model_type")]
    model = _model(family, told)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))  # norms begin as ones
    model.save_pretrained(folder)
    _extractor(family, told, normalises).save_pretrained(folder)
    return folder


def _model(family, told):
    import transformers

    base = "WhisperModel" if family.base == "WhisperEncoder" else family.base
    more = {} if base != "WhisperModel" else {"decoder_layers": 1, "decoder_ffn_dim": 8, "decoder_attention_heads": 2}
    more |= {"vocab_size": 9, "pad_token_id": 0} | ({"bos_token_id": 1, "eos_token_id": 2} if more else {})
    more |= {"decoder_start_token_id": 1} if base == "WhisperModel" else {}
    config = getattr(transformers, family.config)(**told, **more)
    return getattr(transformers, base)(config).eval()


def _extractor(family, told, normalises):
    import transformers

    if family.base == "WhisperEncoder":
        return transformers.WhisperFeatureExtractor(
            feature_size=told["num_mel_bins"], chunk_length=told["max_source_positions"] // 50
        )
    if family.base == "Wav2Vec2BertModel":
        mels = told["feature_projection_input_dim"] // 2
        return transformers.SeamlessM4TFeatureExtractor(feature_size=mels, num_mel_bins=mels)
    return transformers.Wav2Vec2FeatureExtractor(do_normalize=normalises, return_attention_mask=True)
