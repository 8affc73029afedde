"""How the invariance tests call each kind of part and model of tests/support/parts.py.

A call takes (part, batch) and gives by name (output (B, T, ...), lengths (B,)), or (output (B, ...), None).
"""

from functools import partial
from typing import NamedTuple

import torch

from serenanet_modules.lobes.acoustic import Conditions
from serenanet_modules.lobes.blocks.lengths import valid_mask, zero_padding
from serenanet_modules.lobes.blocks.parts import Encoder, FrontEnd
from serenanet_modules.lobes.ctc_model import CTCModel
from serenanet_modules.lobes.decoders.attention_decoder import LabelLM, with_border
from serenanet_modules.lobes.heads.clusters import Clusters, Spectrum
from serenanet_modules.lobes.heads.pessl import Masking
from serenanet_modules.lobes.hybrid_model import HybridModel
from serenanet_modules.lobes.pretraining_model import PretrainingModel
from serenanet_modules.lobes.speech_llm import Said, SpeechLLM
from serenanet_modules.training.brains.ctc import ctc_per_utterance, frames_needed
from serenanet_modules.training.brains.speech_llm import token_loss
from serenanet_modules.training.label_loss import label_loss
from serenanet_modules.training.masking import Masker
from tests.support.parts import SIZES


def encoder(part, batch):
    """Front ends and encoders: zero past the lengths, which are what the stride says."""
    y, lengths, *_ = part(batch.x, batch.lengths)
    assert lengths.dtype == torch.int64 and not y[~valid_mask(lengths, y.shape[1])].any()
    if isinstance(part, Encoder) and part.shortens:
        return {"free": (y, lengths), "at least": part(batch.x, batch.lengths, -(-3 * batch.lengths // 4))[:2]}
    assert torch.equal(lengths, -(-batch.lengths // (part.output_stride if isinstance(part, FrontEnd) else 1)))
    return {"output": (y, lengths)}


def refinement(part, batch):
    return {"logits": (part(batch.x, batch.lengths).x, batch.lengths)}


def label_decoder(part, batch):
    return {"logits": (part(with_border(batch.labels), batch.x, batch.lengths), batch.label_lengths + 1)}


def adapter(part, batch):
    """From frames to fewer ones, for a language model."""
    y, lengths, *_ = part(batch.x, batch.lengths)
    assert lengths.dtype == torch.int64 and int(lengths.max()) <= y.shape[1]
    return {"output": (y, lengths)}


def language_model(part, batch):
    """Embeddings in, logits out; padding stands in front."""
    total = batch.x.shape[1]
    places = (torch.arange(total) - (total - batch.lengths).unsqueeze(1)) % total  # (B, T): from the front to the back
    valid = torch.arange(total) >= (total - batch.lengths).unsqueeze(1)
    x = zero_padding(batch.x, batch.lengths).gather(1, places.unsqueeze(-1).expand_as(batch.x))
    logits = part(x, valid, total)
    back = ((torch.arange(total) + (total - batch.lengths).unsqueeze(1)) % total).unsqueeze(-1)
    return {"logits": (logits.gather(1, back.expand(-1, -1, logits.shape[-1])), batch.lengths)}


def chunking(part, batch):
    """Down, up and read, with as many chunks as come and with a least number."""
    x, found = zero_padding(batch.x, batch.lengths), {}
    for name, least in (("free", None), ("at least", -(-3 * batch.lengths // 4))):
        chunks, counts, route = part.down(x, batch.lengths, least)
        found[f"chunks, {name}"] = chunks, counts
        found[f"read, {name}"] = part.read(chunks, route), counts
        found[f"frames, {name}"] = part.up(chunks, route, x), batch.lengths
    return found


def pretraining(part, batch):
    """Every third frame is hidden and asked for."""
    place = torch.arange(batch.x.shape[1]).expand(len(batch.x), -1)
    masking = Masking((place % 3 == 0) & valid_mask(batch.lengths, batch.x.shape[1]), place * 7 % SIZES["n_clusters"])
    x = part.hide(zero_padding(batch.x, batch.lengths), masking.mask)
    return {"hidden": (x, batch.lengths), "loss": (part(x, masking).loss, None)}


def public(part, batch):
    """A public encoder: samples in, frames out, zero past the lengths."""
    y, lengths, *_ = part(batch.x.squeeze(-1), batch.lengths)
    assert lengths.dtype == torch.int64 and not y[~valid_mask(lengths, y.shape[1])].any()
    return {"output": (y, lengths)}


def model(part, batch):
    """From samples, or labels, to what the losses of training are made of."""
    labels, label_lengths = batch.labels, batch.label_lengths
    if isinstance(part, LabelLM):
        logits = part(with_border(labels))
        return {"logits": (logits, label_lengths + 1), "loss": (label_loss(logits, labels, label_lengths)[0], None)}
    wavs, acoustic = batch.x.squeeze(-1), part.acoustic
    masked = acoustic.has_features and acoustic.pessl is not None
    masker = partial(_masker(acoustic), ids=batch.ids) if masked else None
    if isinstance(part, PretrainingModel):
        output, found = part(wavs, batch.lengths, Conditions(masker=masker)), {}
    elif isinstance(part, CTCModel):
        more = {"labels": labels} if isinstance(part, HybridModel) else {}
        if isinstance(part, SpeechLLM):
            texts = [row[:n] for row, n in zip(labels.tolist(), label_lengths.tolist(), strict=True)]
            more = {"said": lambda *_: Said([[7, 8]] * len(texts), [[9]] * len(texts), texts)}
        output = part(wavs, batch.lengths, Conditions(frames_needed(labels, label_lengths), masker=masker), **more)
        found = {name: (output.log_probs(name), output.lengths) for name in part.scorings}
        if output.decoder is not None:
            found["ctc"] = ctc_per_utterance(output.decoder, output.lengths, labels, label_lengths, 0), None
        if output.attention is not None:
            found["attention"] = output.attention, label_lengths + 1
            found["attention loss"] = label_loss(output.attention, labels, label_lengths, 0.1)[0], None
        if output.tokens is not None:
            found["tokens"] = token_loss(output.tokens, texts, 2)[0], None
    else:
        raise TypeError(f"tests/support/calls.py does not say how to call a {type(part).__name__}")
    if masker is not None:
        found["pessl"] = output.prediction.loss, None
    if acoustic.has_features:
        found["features"] = output.extras.pictures["mel"].values, batch.lengths // acoustic.features.hop + 1
    return found | {"hidden": (output.hidden, output.lengths)}


def _masker(acoustic):
    centroids = torch.randn(SIZES["n_clusters"], 3 * SIZES["n_mels"], generator=torch.Generator().manual_seed(0))
    return Masker(Clusters(Spectrum(), centroids), acoustic, seed=0)


class Call(NamedTuple):
    """A call, the size of its input's frames, and the lengths of utterances to try."""

    run: object
    size: int
    lengths: tuple = (1, 6, 23)


CALLS = {
    "models": Call(model, 1, (700, 7000)),
    "frontends": Call(encoder, SIZES["n_mels"]),
    "encoders": Call(encoder, SIZES["d_model"]),
    "refinement": Call(refinement, SIZES["d_model"]),
    "decoders": Call(label_decoder, SIZES["d_model"]),
    "chunking": Call(chunking, SIZES["d_model"]),
    "pretraining": Call(pretraining, SIZES["d_model"]),
    "adapters": Call(adapter, SIZES["d_model"]),
    "llm": Call(language_model, SIZES["d_model"]),
    "public": Call(public, 1, (700, 7000)),
}
