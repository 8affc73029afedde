"""Result folders of small models that never trained, and yet say something else in each frame."""

import shutil

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from serenanet_modules.config.hparams import Hparams
from serenanet_modules.data.units import load_units, train_units
from serenanet_modules.lobes.blocks.chunking import DynamicChunking
from serenanet_modules.runs.folder import write_hyperparams
from tests.support.encoders import settled
from tests.support.presets import LANGUAGE_MODEL, preset

TEXTS = ["kisu hiki alikitengeneza mwaka jana", "ng'ombe wanakula majani", "habari za asubuhi"]
SPREAD = 3.0  # standard deviation of a label's score over frames, in nats
CONMAMBA = (("d_model", "32"), ("encoder.n_layers", "1"), ("encoder.d_ffn", "32"), ("encoder.kernel_size", "5"))
CHUNKED = (
    ("d_model", "32"),
    *(("encoder.outer.n_layers", "1"), ("encoder.outer.d_ffn", "32")),
    *(("encoder.inner.n_layers", "1"), ("encoder.inner.d_ffn", "32")),
)
FAST = (
    *(("units", "char"), ("d_model", "32"), ("encoder.n_layers", "2"), ("encoder.n_heads", "2")),
    *(("encoder.kernel_size", "5"), ("frontend.filters", "8")),
)
SSM = (
    *(
        ("units", "char"),
        ("labels_per_frame", "2"),
        ("d_model", "32"),
        ("encoder.n_layers", "4"),
        ("encoder.n_heads", "2"),
    ),
    *(("encoder.attention_every", "2"), ("encoder.headdim", "8"), ("encoder.d_state", "4"), ("frontend.filters", "8")),
    *(("encoder.look_aheads", "[all, 3, 0]"), ("encoder.left_context", "8")),
)
HEAD = (("d_model", "32"), ("head.n_layers", "1"), ("head.n_heads", "2"), ("head.d_ffn", "32"))
FAMILIES = {
    "serenanet": (
        "serenanet/small",
        *(("d_model", "32"), ("encoder.n_layers", "1"), ("encoder.d_ffn", "32"), ("frontend.gate_size", "8")),
        *(("car.d_model", "16"), ("car.d_state", "4"), ("car.bidirectional", "true"), ("scoring", "average")),
    ),
    "conmamba": ("conmamba_ctc/small", *CONMAMBA),
    "conmamba2-causal": (
        "conmamba_ctc/small",
        *CONMAMBA,
        *(("encoder.causal", "true"), ("encoder.mixer", "mamba2")),
    ),
    "fast-conformer": ("fast_conformer", *FAST),
    "fast-conformer-window": ("fast_conformer", *FAST, ("encoder.window", "9"), ("encoder.global_tokens", "1")),
    "fast-conformer-streaming": (
        "fast_conformer_streaming",
        *FAST,
        *(("encoder.look_aheads", "[3, 0]"), ("encoder.left_context", "8")),
    ),
    "ssm": ("ssm", *SSM),
    "hmamba": ("hmamba/small", *CHUNKED, ("encoder.inner.mixer", "mamba2")),
    "hmamba-chunks": ("hmamba/small", *CHUNKED, ("encoder.read", "chunks"), ("encoder.chunking.max_gap", "3")),
    "hmamba-pooling": ("hmamba_pooling/small", *CHUNKED),
    "conformer-hybrid": (
        "conformer_s2s",
        *(("units", "char"), ("d_model", "32"), ("encoder.n_layers", "1"), ("encoder.n_heads", "2")),
        *(("encoder.d_ffn", "32"), ("attention_decoder.n_layers", "1"), ("attention_decoder.n_heads", "2")),
    ),
    "whisper-like": (
        "whisper_like",
        *(("units", "char"), ("d_model", "32"), ("encoder.n_layers", "1"), ("encoder.n_heads", "2")),
        *(("attention_decoder.n_layers", "1"), ("attention_decoder.n_heads", "2")),
    ),
    "public-waves": ("pretrained_ctc", *HEAD, ("encoder.source", "wav2vec2")),
    "public-wavlm": ("pretrained_ctc", *HEAD, ("encoder.source", "wavlm")),
    "public-whisper": ("pretrained_ctc", *HEAD, ("encoder.source", "whisper-30s")),
    "public-w2v-bert": ("pretrained_ctc", *HEAD, ("encoder.source", "wav2vec2-bert"), ("encoder.layers", "all")),
}


def make_result(folder, hparams, *overrides, units="char", vocab_size=None):
    """Write what a training would have left, with weights of a fixed seed.

    Parameters
    ----------
    folder : Path
    hparams : str
        Of `preset`.
    *overrides : (str, str)
        Key and yaml text.
    units : str
    vocab_size : int, optional

    Returns
    -------
    Path
        The folder.
    """
    outputs = train_units(units, TEXTS, vocab_size, folder / "save/units")
    given = {"dataset": "none", "locale": "sw", "data_folder": "none", "prepared_folder": "none"}
    asked = Hparams.load(preset(hparams), dataset={k: ("the test", v) for k, v in given.items()})
    features = [] if asked.tree["features"] is None else [("n_mels", "40"), ("features.n_fft", "512")]
    asked.override([("output_folder", str(folder)), *features, *overrides])
    asked.set("n_units", outputs.size)
    settled(asked)
    write_hyperparams(folder, asked)
    torch.manual_seed(0)
    built = asked.build()
    modules = nn.ModuleDict({"model": built["model"]})
    if features:
        built["features"].mean.fill_(-20.0)
        built["features"].std.fill_(12.0)
    _make_eloquent(modules.eval())
    save_file(modules.state_dict(), folder / "weights.safetensors")
    return folder


def make_language_model(folder, recogniser, seed=0):
    """Write what a training of a tiny language model over a recogniser's units would have left; returns the folder."""
    shutil.copytree(recogniser / "save/units", folder / "save/units", dirs_exist_ok=True)
    asked = Hparams.load(preset(LANGUAGE_MODEL), dataset={"dataset": ("the test", "none")})
    small = [("d_model", "16"), ("model.n_layers", "1"), ("model.n_heads", "2"), ("model.d_ffn", "16")]
    asked.override([("acoustic", str(recogniser)), ("output_folder", str(folder)), *small])
    asked.set("n_units", load_units(folder / "save/units").size)
    write_hyperparams(folder, asked)
    torch.manual_seed(seed)
    save_file(nn.ModuleDict({"model": asked.build()["model"]}).state_dict(), folder / "weights.safetensors")
    (folder / "result.json").write_text('{"perplexity": {"held_out": 9.0}}', encoding="utf-8")
    return folder


@torch.no_grad()
def _make_eloquent(modules):
    """Scale and shift the decoder so that no label is the best everywhere; let chunks begin at random."""
    for part in modules.modules():
        if isinstance(part, DynamicChunking):
            nn.init.normal_(part.query.weight)
    audio = torch.from_numpy(sounds(1, 48000))
    decoder = modules["model"].decoder
    hidden = modules["model"](audio, torch.tensor([48000])).hidden[0]
    scores = hidden @ decoder.weight.T
    decoder.weight.mul_(SPREAD / scores.std(0).unsqueeze(1))
    decoder.bias.copy_(-SPREAD * scores.mean(0) / scores.std(0))


def sounds(count, samples):
    """Whistles that wander over noise, (count, samples) float32."""
    rng = np.random.default_rng(count)
    time = np.arange(samples) / 16000
    pitch = 8000 * rng.uniform(0, 1, (count, 1)) * (1 + np.sin(7 * time))
    noise = 0.05 * rng.standard_normal((count, samples))
    return (0.3 * np.sin(pitch * time / 5) * np.sin(20 * time) + noise).astype(np.float32)
