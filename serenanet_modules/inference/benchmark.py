"""One model measured in a process of its own: what it writes, how fast, from which start, in how much memory.

``python -m serenanet_modules.inference.benchmark REQUEST.json`` writes a measurement; `cli.benchmark` asks for them.
"""

import resource
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch

from serenanet_modules.data.sources import Piece, cut
from serenanet_modules.decoding.loops import loop
from serenanet_modules.inference.energy import energy, used
from serenanet_modules.inference.plain import PlainModel, is_plain
from serenanet_modules.inference.recognizer import Recognizer
from serenanet_modules.runtime.files import read_json, write_json
from serenanet_modules.runtime.provenance import device_name
from serenanet_modules.runtime.threads import share_cores


class Measured:
    """Any model that can be measured: from pieces of audio to hypotheses.

    Parameters
    ----------
    folder, device, locale, context, quantize
        As of `cli.benchmark`.
    """

    def __init__(self, folder, device, locale, context=None, quantize=None):
        self.trained = None
        if is_plain(folder):
            self._model = PlainModel(folder, device)
            self.hear, self.most = self._model.hear, self._model.most_seconds
            self.parameters, self.decoder = self._model.parameters, "greedy"
            return
        computing = {"quantize": quantize}
        recognizer = self._model = Recognizer.from_folder(folder, device, context, computing=computing, locale=locale)
        made = recognizer.decoder()
        self.decoder, self.most = made.name, recognizer.settings["piece_seconds"]
        self.parameters = recognizer.run.parameters
        self.hear = partial(_heard, recognizer, made)
        result = Path(folder) / "result.json"
        if result.is_file():
            self.trained = read_json(result).get("trained_parameters")

    def write(self, pieces):
        """`Hypothesis` of each `Piece`; nothing of silence."""
        sounding = [piece for piece in pieces if not piece.silent]
        found = iter(self.hear(sounding) if sounding else ())
        return [None if piece.silent else next(found) for piece in pieces]


def _heard(recognizer, decoder, pieces):
    output = recognizer.network.output(pieces)
    found = decoder.decode(output, output.lengths)
    tokens = recognizer.run.tokens
    return found if tokens is None else [_in_tokens(hypothesis, tokens) for hypothesis in found]


def _in_tokens(hypothesis, tokens):
    """The same with the language model's tokens as labels, which are what costs time."""
    from dataclasses import replace

    return replace(hypothesis, labels=tokens.encode(hypothesis.text))


def measure(request):
    """Measure a model.

    Parameters
    ----------
    request : dict
        ``model``, ``device``, ``locale``, ``context`` and ``quantize``; ``clips``, pairs of an id and a path;
        ``batch_seconds``; and ``spawned``, when the process was asked for.

    Returns
    -------
    dict
        Plain values.
    """
    share_cores()
    model = Measured(*(request[name] for name in ("model", "device", "locale", "context", "quantize")))
    first = model.write(_pieces(request["clips"][0][1], model.most))
    cold = time.time() - request["spawned"]
    clips = [(name, _pieces(path, model.most)) for name, path in request["clips"]]
    start, counters = time.monotonic(), energy(request["device"])
    latencies, alone, labels = [], {}, 0
    for name, pieces in clips:
        begun = time.monotonic()
        found = [hypothesis for piece in pieces for hypothesis in model.write([piece])]
        latencies.append(time.monotonic() - begun)
        alone[name], labels = _text(found), labels + sum(len(h.labels) for h in found if h is not None)
    single, joules = time.monotonic() - start, used(counters, energy(request["device"]))
    start = time.monotonic()
    texts, looped = _batched(model, clips, request["batch_seconds"])
    batched, seconds = time.monotonic() - start, sum(p.seconds for _, pieces in clips for p in pieces)
    return {
        **{"decoder": model.decoder, "parameters": model.parameters, "trained_parameters": model.trained},
        **{"device": device_name(torch.device(request["device"])), "threads": torch.get_num_threads()},
        **{"cold_start": cold, "latencies": latencies, "single": single, "batched": batched, "seconds": seconds},
        **{"labels": labels, "joules": joules, "peak_bytes": _peak(request["device"]), "texts": texts, "alone": alone},
        **{"looped": looped, "first": _text(first)},
    }


def _pieces(path, most):
    return [event for event in cut(path, most) if isinstance(event, Piece)]


def _batched(model, clips, batch_seconds):
    """Texts by id of all clips, read in batches from long to short, and how many went round."""
    order = sorted(((p, name, i) for name, pieces in clips for i, p in enumerate(pieces)), key=lambda x: -x[0].seconds)
    found, batch, looped = {name: {} for name, _ in clips}, [], 0
    for at, (piece, name, i) in enumerate(order):
        batch.append((piece, name, i))
        if at + 1 == len(order) or batch[0][0].seconds * (len(batch) + 1) > batch_seconds:
            for (_, owner, place), hypothesis in zip(batch, model.write([b[0] for b in batch]), strict=True):
                found[owner][place] = hypothesis
                looped += hypothesis is not None and (hypothesis.looped or bool(loop(hypothesis.text.split())))
            batch = []
    return {name: _text([parts[i] for i in sorted(parts)]) for name, parts in found.items()}, looped


def _text(hypotheses):
    return " ".join(h.text for h in hypotheses if h is not None and h.text)


def _peak(device):
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main():
    """Of a process."""
    request = read_json(Path(sys.argv[1]))
    found = measure(request)
    found["latencies"] = np.round(found["latencies"], 5).tolist()
    write_json(Path(request["out"]), found)


if __name__ == "__main__":
    from serenanet_modules.errors import UserError

    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
