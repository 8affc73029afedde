"""A few utterances of dev as the model sees them, kept small, for plots that need no model.

``examples.npz`` holds for example i
    mel_i      (T, mels) uint8, normalised log-mel from its least to its largest value
    gate_i     (T, resolutions) uint8, weights times 255, where the front end has a gate
    decoder_i  (T', units) uint8, probabilities times 255, of the units that some frame finds likely
    car_i      the same of the refinement, where there is one
    chunk_i    (T',) uint8, probabilities of a chunk's beginning times 255, where the encoder cuts chunks, and
    start_i    (T',) uint8, 1 where one begins
and ``about``, a JSON text: ``hop`` in seconds per mel frame, ``resolutions``, the name of ``blank``, and for each
utterance its ``id``, ``text`` and the ``units`` that are its columns.
"""

import json

import numpy as np
import torch

from serenanet_modules.data.batching import MicroBatch, Utterances
from serenanet_modules.runtime.files import replacing

COUNT = 2
LENGTH = 4.0  # seconds; the utterances nearest to it are taken
FRAMES = 1000  # of mel, at most; a longer utterance is cut
UNITS = 40  # columns of posteriors, at most
LIKELY = 0.05
HOP = 0.01  # seconds


def write_examples(path, model, features, rows, root, units, device):
    """Run the network over the examples and write the file.

    Parameters
    ----------
    path : Path
    model, features : Module
        In evaluation mode.
    rows : list of Utterance
        Of dev.
    root : Path
        Folder that the manifest's paths start from.
    units : Units
    device : torch.device
    """
    chosen = sorted(rows, key=lambda u: (abs(u.duration - LENGTH), u.id))[:COUNT]
    about = {"hop": HOP, "resolutions": list(getattr(model.frontend, "resolutions", []))}
    about |= {"blank": units.pieces[units.blank_id], "utterances": []}
    arrays = {}
    for number, utterance in enumerate(chosen):
        found, names = _example(utterance, model, features, root, units, device)
        arrays |= {f"{name}_{number}": array for name, array in found.items()}
        about["utterances"].append({"id": utterance.id, "text": utterance.text, "units": names})
    with replacing(path) as partial, open(partial, "wb") as file:
        np.savez_compressed(file, about=json.dumps(about, ensure_ascii=False), **arrays)


@torch.no_grad()
def _example(utterance, model, features, root, units, device):
    """({name: array}, names of the posteriors' columns) of one utterance."""
    batch = Utterances([utterance], root)[MicroBatch((0,), 0, 1, True)].to(device)
    mel, lengths = features(batch.wavs, batch.wav_lengths)
    output = model(mel, lengths)
    share = min(1.0, FRAMES / mel.shape[1])
    sources = {"decoder": output.decoder, "car": output.car}
    probabilities = {
        name: x[0, : max(1, round(share * x.shape[1]))].exp().float().cpu().numpy()
        for name, x in sources.items()
        if x is not None
    }
    columns = _likely(np.maximum.reduce([p.max(0) for p in probabilities.values()]), units.blank_id)
    found = {"mel": _scaled(mel[0, :FRAMES].float().cpu().numpy())}
    gate = getattr(model.frontend, "gate", None)
    if gate is not None and gate.shape[-1] > 1:
        found["gate"] = _bytes(gate[0, :FRAMES].float().cpu().numpy())
    found |= {name: _bytes(p[:, columns]) for name, p in probabilities.items()}
    route = getattr(model.encoder, "route", None)
    if route is not None:
        frames = max(1, round(share * route.boundaries.shape[1]))
        found["chunk"] = _bytes(route.probabilities[0, :frames].float().cpu().numpy())
        found["start"] = route.boundaries[0, :frames].to(torch.uint8).cpu().numpy()
    return found, [units.pieces[u] for u in columns]


def _likely(best, blank):
    """Blank and the likeliest units, in their own order."""
    best = best.copy()
    best[blank] = 2.0
    chosen = np.argsort(-best, kind="stable")[:UNITS]
    return sorted(u for u in chosen.tolist() if best[u] >= LIKELY)


def _scaled(values):
    low, high = values.min(), values.max()
    return _bytes((values - low) / max(high - low, 1e-6))


def _bytes(shares):
    return np.round(255 * shares).clip(0, 255).astype(np.uint8)
