"""A few utterances of dev as the model sees them, kept small, for plots that need no model.

``examples.npz`` holds for example i
    mel_i      (T, mels) uint8, normalised log-mel from its least to its largest value, where the model has features
    gate_i     (T, resolutions) uint8, weights times 255, where the front end has a gate
    decoder_i  (T', units) uint8, probabilities times 255, of the units that some frame finds likely
    car_i      the same of the refinement, where there is one
    chunk_i    (T',) uint8, probabilities of a chunk's beginning times 255, where the encoder cuts chunks, and
    start_i    (T',) uint8, 1 where one begins
and ``about``, a JSON text: the name of ``blank``, and for each utterance its ``id`` and ``text``, the ``seconds`` that
its arrays span, the ``units`` that are the columns of its probabilities, and ``resolutions``, those of the gate in
frames of it.
"""

import json

import numpy as np
import torch

from serenanet_modules.data.audio import SAMPLE_RATE
from serenanet_modules.data.batching import MicroBatch, Utterances
from serenanet_modules.runtime.files import replacing

COUNT = 2
LENGTH = 4.0  # seconds; the utterances nearest to it are taken
LONGEST = 10.0  # seconds; a longer utterance is cut
UNITS = 40  # columns of posteriors, at most
LIKELY = 0.05


def write_examples(path, model, rows, root, units, device):
    """Run the network over the examples and write the file.

    Parameters
    ----------
    path : Path
    model : CTCModel
        In evaluation mode.
    rows : list of Utterance
        Of dev.
    root : Path
        Folder that the manifest's paths start from.
    units : Units
    device : torch.device
    """
    chosen = sorted(rows, key=lambda u: (abs(u.duration - LENGTH), u.id))[:COUNT]
    about, arrays = {"blank": units.pieces[units.blank_id], "utterances": []}, {}
    for number, utterance in enumerate(chosen):
        found, more = _example(utterance, model, root, units, device)
        arrays |= {f"{name}_{number}": array for name, array in found.items()}
        about["utterances"].append({"id": utterance.id, "text": utterance.text, **more})
    with replacing(path) as partial, open(partial, "wb") as file:
        np.savez_compressed(file, about=json.dumps(about, ensure_ascii=False), **arrays)


@torch.no_grad()
def _example(utterance, model, root, units, device):
    """({name: array}, what ``about`` says of them) of one utterance."""
    batch = Utterances([utterance], root)[MicroBatch((0,), 0, 1, True)].to(device)
    output = model(batch.wavs, batch.wav_lengths)
    seconds = len(batch.wavs[0]) / SAMPLE_RATE
    share = min(1.0, LONGEST / seconds)

    def cut(values):
        return values[0, : max(1, round(share * values.shape[1]))].float().cpu().numpy()

    posteriors = {"decoder": output.decoder} | ({} if output.car is None else {"car": output.car})
    probabilities = {name: cut(x.exp()) for name, x in posteriors.items()}
    columns = _likely(np.maximum.reduce([p.max(0) for p in probabilities.values()]), units.blank_id)
    found = {name: _bytes(p[:, columns]) for name, p in probabilities.items()}
    pictures = {name: (cut(picture.values), picture.columns) for name, picture in output.extras.pictures.items()}
    about = {"seconds": share * seconds, "units": [units.pieces[u] for u in columns]}
    for name, (values, headings) in pictures.items():
        if name == "gate" and len(headings) > 1:
            found["gate"], about["resolutions"] = _bytes(values), list(headings)
        elif name in WAYS:
            found[name] = WAYS[name](values)
    return found, about


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


WAYS = {"mel": _scaled, "chunk": _bytes, "start": lambda starts: starts.astype(np.uint8)}  # of storing a picture
