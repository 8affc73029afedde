"""Log-probabilities of utterances in a file, for processes that have numpy alone."""

import json

import numpy as np


def write(path, utterances):
    """Keep (id, text, seconds, [log-probabilities (T, V) of each piece]) of each utterance."""
    about = [(key, text, seconds, len(rows)) for key, text, seconds, rows in utterances]
    rows = [row for *_, rows in utterances for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {str(i): np.maximum(row, -1e4).astype(np.float32) for i, row in enumerate(rows)}
    np.savez(path, about=np.array(json.dumps(about)), **arrays)


def read(path):
    """What `write` kept."""
    with np.load(path) as file:
        arrays = iter([file[str(i)] for i in range(len(file.files) - 1)])
        about = json.loads(str(file["about"]))
    return [(key, text, seconds, [next(arrays) for _ in range(n)]) for key, text, seconds, n in about]
