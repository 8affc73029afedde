"""What a front end's gate does over dev, kept for a table by phone class that needs neither model nor audio.

``gates.npz`` holds, of at most `COUNT` utterances of dev one after the other,
    gate     (frames, resolutions) uint8, weights times 255
    cepstra  (frames, 13) float16, by which `analysis.gates` finds the phones
and ``about``, a JSON text: for each utterance its ``id``, the ``set`` and ``locale`` that it is of and its number of
``frames``; and ``milliseconds``, what each resolution's frames span.
"""

import json
import random

import numpy as np
import torch

from serenanet_modules.data.alignment import plain_cepstra
from serenanet_modules.data.batching import loader_of
from serenanet_modules.runtime.files import replacing

COUNT = 200  # utterances: 2 or 3 MB, and intervals of a few points
SEED = 0  # of their choice, whatever the run's: runs are compared on the same ones


def write_gates(path, model, rows, root, device):
    """Run the front end over dev and write the file, where the front end has a gate over several resolutions.

    Parameters
    ----------
    path : Path
    model : CTCModel
        In evaluation mode.
    rows : list of Utterance
        Of dev; those without a text are left out.
    root : Path
        Folder that the manifest's paths start from.
    device : torch.device
    """
    rows = sorted((u for u in rows if u.text or u.phonemes), key=lambda u: u.id)
    chosen = random.Random(SEED).sample(rows, min(COUNT, len(rows)))
    if not chosen or not model.acoustic.has_features:
        return
    gates, cepstra, utterances = [], [], []
    for utterance, gate, features in _frames(model.acoustic, chosen, root, device):
        if gate is None:
            return
        gates.append(np.round(255 * gate.values.numpy()).astype(np.uint8))
        cepstra.append(plain_cepstra(features).numpy().astype(np.float16))
        about = {"id": utterance.id, "set": utterance.split, "locale": utterance.locale}
        utterances.append({**about, "frames": len(gates[-1])})
    milliseconds = [round(1000 * model.acoustic.features.frame_seconds * r, 3) for r in gate.columns]
    about = json.dumps({"milliseconds": milliseconds, "utterances": utterances}, ensure_ascii=False)
    with replacing(path) as partial, open(partial, "wb") as file:
        np.savez_compressed(file, gate=np.concatenate(gates), cepstra=np.concatenate(cepstra), about=about)


@torch.no_grad()
def _frames(acoustic, rows, root, device):
    """Yield each utterance, its gate (T, resolutions) as a `Picture`, None without one, and its features (T, mels)."""
    for batch in loader_of(rows, root):
        batch = batch.to(device)
        x, lengths = acoustic.features(batch.wavs, batch.wav_lengths)
        gate = acoustic.frontend(x, lengths).extras.pictures.get("gate")
        gate = gate if gate is not None and len(gate.columns) > 1 else None
        for i, (utterance, frames) in enumerate(zip(batch.utterances, lengths.tolist(), strict=True)):
            own = gate and gate._replace(values=gate.values[i, :frames].float().cpu())
            yield utterance, own, x[i, :frames].float().cpu()
