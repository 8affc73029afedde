"""A written file against the model that it was made from: numbers on noise, error rates on speech."""

import numpy as np
import torch
from tqdm import tqdm

from serenanet_modules.analysis.scoring import score
from serenanet_modules.data.audio import SAMPLE_RATE, load
from serenanet_modules.data.batching import BatchSampler
from serenanet_modules.data.tables import read_rows
from serenanet_modules.data.text import normaliser
from serenanet_modules.decoding.greedy import collapse
from serenanet_modules.errors import UserError
from serenanet_modules.inference.segment import segment

BATCHES = (  # seconds of the utterances of each batch, and of padding behind the longest
    ((1.0,), 0.0),
    ((0.3, 2.7), 0.0),
    ((1.9, 5.3, 0.7), 0.0),
    ((3.1, 3.1), 0.9),
    ((0.0002,), 0.0),
    ((0.05, 0.02, 0.11, 0.03, 0.4), 0.0),
    ((12.3,), 0.0),
)
BATCH_SECONDS = 60.0


class Eager:
    """The model itself, as a function of arrays.

    Parameters
    ----------
    opened : OpenRun
    """

    def __init__(self, opened):
        self._modules, self._scoring = opened.modules, opened.settings["scoring"]

    @torch.inference_mode()
    def __call__(self, audio, lengths):
        """audio (B, S) float32, lengths (B,) int64 -> log-probabilities (B, T, V), frames (B,)."""
        features = self._modules["features"](torch.from_numpy(audio), torch.from_numpy(lengths))
        output = self._modules["model"](*features)
        return output.log_probs(self._scoring).numpy(), output.lengths.numpy()


def noises(batches=BATCHES):
    """Yield audio (B, S), float32, and lengths (B,): noise whose loudness changes like that of speech."""
    rng = np.random.default_rng(0)
    for seconds, padding in batches:
        lengths = np.array([max(1, round(s * SAMPLE_RATE)) for s in seconds])
        total = lengths.max() + round(padding * SAMPLE_RATE)
        loudness = 0.1 * np.sin(np.arange(total) / 1500 + rng.uniform(0, 3, (len(seconds), 1))) ** 2
        audio = loudness * rng.standard_normal((len(seconds), total))
        yield audio.astype(np.float32), lengths


def differences(run, eager, batches=BATCHES):
    """Compare two functions of audio and lengths on noise.

    Parameters
    ----------
    run, eager : callable
        As `Eager`.
    batches
        As `BATCHES`.

    Returns
    -------
    (float, float)
        The largest difference of log-probabilities, infinite where shapes or lengths differ or a number is not finite;
        and the share of frames with the same best label.
    """
    largest, same, total = 0.0, 0, 0
    for audio, lengths in noises(batches):
        expected, expected_frames = eager(audio, lengths)
        got, frames = run(audio, lengths)
        if not np.array_equal(frames, expected_frames) or got.shape[::2] != expected.shape[::2]:
            return np.inf, 0.0
        for y, z, n in zip(got, expected, frames, strict=True):
            gap = np.abs(y[:n] - z[:n]).max()
            largest = max(largest, float(gap)) if np.isfinite(gap) else np.inf
            same, total = same + int((y[:n].argmax(-1) == z[:n].argmax(-1)).sum()), total + int(n)
    return largest, same / total


class Speech:
    """Utterances with their texts, to measure error rates on.

    Parameters
    ----------
    manifest : Path
        As `data.tables` reads them; paths begin at its folder, or at ``clips`` in it.
    opened : OpenRun
        Its units say what is compared: words, or phones where they are phonemes.

    Raises
    ------
    UserError
        Where a file cannot be read, or texts are missing.
    """

    def __init__(self, manifest, opened):
        self.units, phonemic = opened.units, opened.units.kind == "phoneme"
        self.level, column = ("phone", "phonemes") if phonemic else ("word", "text")
        normalise = str if phonemic else normaliser(opened.settings["locale"])
        self.texts, self._pieces = {}, []
        for row in tqdm(_rows(manifest, column), desc="reading", unit="clip", leave=False, disable=None):
            self.texts[row.where] = normalise(row.get(column))
            self._pieces += [(row.where, piece) for piece in segment([_audio(row, manifest)])]

    def errors(self, run, name):
        """`ErrorCounts` of greedy decoding by a function as `Eager`; ``name`` stands beside the progress bar."""
        heard = [""] * len(self._pieces)
        plans = BatchSampler([len(piece) / SAMPLE_RATE for _, piece in self._pieces], BATCH_SECONDS, shuffle=False)
        for plan in tqdm(list(plans), desc=name, unit="batch", leave=False, disable=None):
            for i, text in zip(plan.indices, self._decode(run, plan.indices), strict=True):
                heard[i] = text
        texts = dict.fromkeys(self.texts, "")
        for (key, _), text in zip(self._pieces, heard, strict=True):
            texts[key] = f"{texts[key]} {text}".strip()
        return score(self.texts, texts, self.level).total

    def _decode(self, run, indices):
        pieces = [self._pieces[i][1] for i in indices]
        lengths = np.array([len(piece) for piece in pieces])
        audio = np.zeros((len(pieces), lengths.max()), np.float32)
        for row, piece in zip(audio, pieces, strict=True):
            row[: len(piece)] = piece
        for y, n in zip(*run(audio, lengths), strict=True):
            yield self.units.decode(collapse(y[:n].argmax(-1).tolist(), self.units.blank_id)[0])


def _rows(manifest, column):
    if not manifest.is_file():
        raise UserError(f"{manifest}: there is no such file; give a manifest with paths and texts")
    rows = read_rows(manifest)
    for row in rows:
        if not row.get(column):
            raise UserError(f"{row.where}: has no {column}, which --check needs")
    return rows


def _audio(row, manifest):
    """Samples of one row, a segment of a recording where it says so."""
    path = manifest.parent / row.get("path")
    if not path.is_file() and (manifest.parent / "clips" / row.get("path")).is_file():
        path = manifest.parent / "clips" / row.get("path")
    samples = load(path)
    try:
        start, end = (float(row.get(name) or default) for name, default in (("start", 0), ("end", np.inf)))
        if row.get("start") and not row.get("end") and row.get("duration"):
            end = start + float(row.get("duration"))
    except ValueError:
        raise UserError(f"{row.where}: start, end and duration must be seconds") from None
    cut = samples[round(start * SAMPLE_RATE) : None if end == np.inf else round(end * SAMPLE_RATE)]
    if not len(cut):
        raise UserError(f"{row.where}: the segment from {start:g} s holds no audio")
    return cut
