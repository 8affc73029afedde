"""Granite Speech's encoder and projector give what transformers give of an utterance alone; the plan's own preset."""

import pytest
import torch
from transformers import GraniteSpeechConfig, GraniteSpeechForConditionalGeneration
from transformers.models.granite_speech.feature_extraction_granite_speech import GraniteSpeechFeatureExtractor

from serenanet_modules.config.hparams import Hparams
from serenanet_modules.lobes.pretrained import PublicEncoder
from serenanet_modules.lobes.pretrained.families import known
from serenanet_modules.lobes.pretrained.network import LEVEL
from serenanet_modules.training.groups import Frozen, parts_to_freeze
from tests.support.presets import preset

TINY = {
    "model_type": "granite_speech",
    "window_size": 15,
    "downsample_rate": 5,
    "encoder_config": {
        **{"input_dim": 40, "num_layers": 2, "hidden_dim": 16, "num_heads": 2, "output_dim": 7, "feedforward_mult": 2},
        **{"context_size": 10, "max_pos_emb": 20, "conv_kernel_size": 5},
    },
    "projector_config": {
        **{"model_type": "blip_2_qformer", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
        **{"intermediate_size": 24, "encoder_hidden_size": 16, "cross_attention_frequency": 1},
    },
    "text_config": {
        **{"model_type": "granite", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2},
        **{"num_key_value_heads": 1, "intermediate_size": 16, "vocab_size": 40},
    },
}
LARGE = {  # of granite-speech-3.3-2b
    "encoder_config": {"input_dim": 160, "num_layers": 16, "hidden_dim": 1024, "num_heads": 8, "output_dim": 256},
    "projector_config": {
        **{"hidden_size": 1024, "num_hidden_layers": 2, "num_attention_heads": 16, "intermediate_size": 4096},
        **{"encoder_hidden_size": 1024, "cross_attention_frequency": 1},
    },
    "text_config": {"hidden_size": 2048},
}
DOGE = {"model_type": "doge", "hidden_size": 1024, "num_hidden_layers": 32, "intermediate_size": 2048}
DOGE |= {"num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 32768, "tie_word_embeddings": True}
DOGE |= {"keep_window_size": 2048, "eos_token_id": 1}


@pytest.mark.parametrize("key", ["context_size", "max_pos_emb"])
def test_contexts_are_bounded(key):
    """A network makes a table of the square of its context, whatever its weights are."""
    encoder = TINY["encoder_config"] | {"context_size": 2**11, "max_pos_emb": 2**11}
    assert known({**TINY, "encoder_config": encoder})
    with pytest.raises(ValueError, match=f"encoder_config.{key} is 2049, out of range"):
        known({**TINY, "encoder_config": encoder | {key: 2049}})


@torch.no_grad()
def test_it_is_transformers_own():
    """Frames of the projector, of utterances in a batch; and whatever follows them, the level and the offset."""
    torch.manual_seed(0)
    theirs = GraniteSpeechForConditionalGeneration(GraniteSpeechConfig(**TINY)).eval()
    encoder = PublicEncoder("x", known(TINY)[1]).eval()
    encoder.load(theirs.state_dict())
    extract = GraniteSpeechFeatureExtractor(n_mels=20)
    lengths = torch.tensor([16000, 7003, 700])
    wavs = torch.randn(3, 16000)
    got = encoder(wavs, lengths)
    assert got.lengths.tolist() == [10, 5, 1] and encoder.frame_seconds == 0.1
    for row, n in enumerate(lengths.tolist()):
        alone = wavs[row : row + 1, :n]
        alone = LEVEL * (alone - alone.mean()) / alone.std(correction=0)
        want = theirs.model.get_audio_features(extract(alone)["input_features"]).pooler_output
        torch.testing.assert_close(got.x[row, : got.lengths[row]], want[0, : got.lengths[row]], rtol=0, atol=1e-4)
    assert not got.x[1, 5:].any()
    torch.testing.assert_close(encoder(0.1 * wavs + 0.05, lengths).x, got.x, rtol=0, atol=1e-3)


def test_no_exported_file_holds_it():
    """It reads utterances one by one, and says so to what makes files."""
    encoder = PublicEncoder("x", known(TINY)[1]).eval()
    with pytest.raises(NotImplementedError, match="one by one, as no exported file can"):
        torch.jit.trace(encoder, (torch.randn(2, 16000), torch.tensor([16000, 9000])))


def test_layers_are_not_shown():
    with pytest.raises(ValueError, match="layers is 'all'"):
        PublicEncoder("x", known(TINY)[1], layers="all")


def test_the_plans_own_preset():
    """Of Granite Speech's encoder and projector, a small adapter and Doge, 1,574,400 parameters are trained."""
    hparams = Hparams.load(preset("speech_llm/granite_doge"))
    hparams.override([("data_folder", "none"), ("dataset", "none"), ("locale", "en")])
    hparams.set("n_units", 30)
    config = known({**TINY, **LARGE})[1]
    hparams.fill("encoder", {"source": "granite", "config": config})
    hparams.fill("llm", {"source": "doge", "config": DOGE})
    hparams.fill("adapter", {"d_model": 1024})
    with torch.device("meta"):
        model = hparams.only(_needed(hparams)).build()["model"]
    plain = hparams.plain()
    Frozen(parts_to_freeze(model, plain["freeze"]))
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 1_574_400
    assert 400e6 < sum(p.numel() for p in model.acoustic.parameters()) < 520e6
    assert (plain["number_of_epochs"], plain["lr"], model.acoustic.frame_seconds) == (1, 2e-3, 0.1)
    asked = ("max_batch_utterances", "validate_every", "early_stopping_patience")
    assert [plain[key] for key in asked] == [16, 100, 2]
    assert plain["preparation"]["frames_per_character"] == 0  # 100 ms frames are fewer than letters


def _needed(hparams):
    """What the model is made of."""
    named = ("acoustic_model", "encoder", "head", "llm", "adapter", "model", "d_model", "output_stride", "n_units")
    return (*named, "labels_per_frame", "compress", "ctc_head", "keep_encoder", "keep_llm")
