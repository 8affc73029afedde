"""One model measured in a process of its own: what it writes, how fast, from which start, in how much memory.

``python -m serenanet_modules.inference.benchmark REQUEST.json`` writes a measurement; `cli.benchmark` asks for them.
"""

import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch

from serenanet_modules.data.sources import Piece, cut, windows
from serenanet_modules.decoding.loops import loop
from serenanet_modules.decoding.network import WINDOW
from serenanet_modules.inference.energy import energy, used
from serenanet_modules.inference.plain import PlainModel, is_plain
from serenanet_modules.inference.recognizer import Recognizer
from serenanet_modules.runtime.files import read_json, write_json
from serenanet_modules.runtime.memory import peak
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
    latencies, alone, labels, seconds, joules = [], {}, 0, 0.0, []
    for name, path in request["clips"]:
        pieces, counters = _pieces(path, model.most), energy(request["device"])
        begun = time.monotonic()
        found = [hypothesis for piece in pieces for hypothesis in model.write([piece])]
        latencies.append(time.monotonic() - begun)
        joules.append(used(counters, energy(request["device"])))
        seconds += sum(piece.seconds for piece in pieces)
        alone[name], labels = _text(found), labels + sum(len(h.labels) for h in found if h is not None)
    texts, looped, batched = _batched(model, request["clips"], request["batch_seconds"])
    return {
        **{"decoder": model.decoder, "parameters": model.parameters, "trained_parameters": model.trained},
        **{"device": device_name(torch.device(request["device"])), "threads": torch.get_num_threads()},
        **{"cold_start": cold, "latencies": latencies, "single": sum(latencies), "batched": batched},
        **{"seconds": seconds, "labels": labels, "joules": None if None in joules else sum(joules)},
        **{"peak_bytes": peak(request["device"]), "texts": texts, "alone": alone},
        **{"looped": looped, "first": _text(first)},
    }


def _pieces(path, most):
    return [event for event in cut(path, most) if isinstance(event, Piece)]


def _batched(model, clips, batch_seconds):
    """Texts by id of all clips, how many pieces went round, and the seconds of the model's work.

    As in a transcription, some batches of audio are held at a time.
    """
    names, texts, said, looped, worked = iter(clips), {}, [], 0, 0.0
    for window in windows((path for _, path in clips), WINDOW * batch_seconds, model.most):
        pieces = [event for event in window if isinstance(event, Piece)]
        begun = time.monotonic()
        heard = _in_batches(model, pieces, batch_seconds)
        worked += time.monotonic() - begun
        looped += sum(h is not None and (h.looped or bool(loop(h.text.split()))) for h in heard)
        following = iter(heard)
        for event in window:
            if isinstance(event, Piece):
                said.append(next(following))
            else:
                texts[next(names)[0]], said = _text(said), []
    return texts, looped, worked


def _in_batches(model, pieces, batch_seconds):
    """What is written of each piece, read in batches from long to short."""
    found, order = [None] * len(pieces), sorted(range(len(pieces)), key=lambda i: -pieces[i].seconds)
    while order:
        size = max(1, int(batch_seconds / pieces[order[0]].seconds))
        batch, order = order[:size], order[size:]
        for i, hypothesis in zip(batch, model.write([pieces[i] for i in batch]), strict=True):
            found[i] = hypothesis
    return found


def _text(hypotheses):
    return " ".join(h.text for h in hypotheses if h is not None and h.text)


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
