"""A written file against the model that it was made from: numbers on noise, error rates on speech."""

import tempfile
from pathlib import Path

import numpy as np
import torch

from serenanet_modules.analysis.scoring import score
from serenanet_modules.data.asked import candidates
from serenanet_modules.data.audio import SAMPLE_RATE, blocks
from serenanet_modules.data.batching import BatchSampler
from serenanet_modules.data.manifest import read_manifest
from serenanet_modules.data.preparation import prepare
from serenanet_modules.data.segment import segment
from serenanet_modules.decoding.greedy import Greedy, collapse
from serenanet_modules.inference.evaluate import left_out
from serenanet_modules.runtime.bars import Bar

BATCHES = (  # seconds of the utterances of each batch, and of padding behind the longest
    ((1.0,), 0.0),
    ((0.3, 2.7), 0.0),
    ((1.9, 5.3, 0.7), 0.0),
    ((3.1, 3.1), 0.9),
    ((0.0002,), 0.0),
    ((0.05, 0.02, 0.11, 0.03, 0.4), 0.0),
    ((12.3,), 0.0),
)
ALONE = (0.4, 1.9, 5.3)  # seconds of utterances that are heard alone and beside each of
MATES = ((8.0, 0.0, 0.0), (6.0, 1.0, 5.0), (0.1, 0.1, 0.1))  # seconds, loudness, and that of what stands in the padding
BATCH_SECONDS = 60.0


class Eager:
    """The model itself, as a function of arrays.

    Parameters
    ----------
    opened : OpenRun
    """

    def __init__(self, opened):
        self._model, self._scoring = opened.modules["model"], opened.settings["scoring"]

    @torch.inference_mode()
    def __call__(self, audio, lengths):
        """audio (B, S) float32, lengths (B,) int64 -> log-probabilities (B, T, V), frames (B,)."""
        output = self._model(torch.from_numpy(audio), torch.from_numpy(lengths))
        return output.log_probs(self._scoring).numpy(), output.lengths.numpy()


def noises():
    """Yield audio (B, S), float32, and lengths (B,): noise whose loudness changes like that of speech."""
    rng = np.random.default_rng(0)
    for seconds, padding in BATCHES:
        lengths = np.array([max(1, round(s * SAMPLE_RATE)) for s in seconds])
        total = lengths.max() + round(padding * SAMPLE_RATE)
        loudness = 0.1 * np.sin(np.arange(total) / 1500 + rng.uniform(0, 3, (len(seconds), 1))) ** 2
        audio = loudness * rng.standard_normal((len(seconds), total))
        yield audio.astype(np.float32), lengths


def differences(run, eager):
    """Compare two functions of audio and lengths on noise.

    Parameters
    ----------
    run, eager : callable
        As `Eager`.

    Returns
    -------
    (float, float)
        The largest difference of log-probabilities, infinite where shapes or lengths differ or a number is not finite;
        and the share of frames with the same best label.
    """
    largest, same, total = 0.0, 0, 0
    for audio, lengths in noises():
        expected, expected_frames = eager(audio, lengths)
        got, frames = run(audio, lengths)
        if not np.array_equal(frames, expected_frames) or got.shape[::2] != expected.shape[::2]:
            return np.inf, 0.0
        for y, z, n in zip(got, expected, frames, strict=True):
            gap = np.abs(y[:n] - z[:n]).max()
            largest = max(largest, float(gap)) if np.isfinite(gap) else np.inf
            same, total = same + int((y[:n].argmax(-1) == z[:n].argmax(-1)).sum()), total + int(n)
    return largest, same / total


def change_beside(run):
    """How much of an utterance is not its own: the largest change of its log-probabilities beside silence and noise.

    Parameters
    ----------
    run : callable
        As `Eager`.

    Returns
    -------
    float
        Infinite where it has other frames there.
    """
    rng, largest = np.random.default_rng(1), 0.0
    for seconds in ALONE:
        n = round(seconds * SAMPLE_RATE)
        sound = (0.1 * np.sin(np.arange(n) / 1500) ** 2 * rng.standard_normal(n)).astype(np.float32)
        alone, (frames,) = run(sound[None], np.array([n]))
        for mate, loudness, padding in MATES:
            lengths = np.array([n, round(mate * SAMPLE_RATE)])
            audio = rng.standard_normal((2, lengths.max())) * [[padding], [loudness]]
            audio[0, :n] = sound
            beside, (found, _) = run(audio.astype(np.float32), lengths)
            gap = np.abs(beside[0, :frames] - alone[0, :frames]).max() if found == frames else np.inf
            largest = max(largest, float(gap))
    return largest


class Speech:
    """Utterances with their texts, to measure error rates on.

    Parameters
    ----------
    manifest : Path
        Any that `inference.evaluate` takes; it is prepared as for a training.
    opened : OpenRun
        Its units say what is compared: words, or phones where they are phonemes.

    Raises
    ------
    UserError
        Where there are none.

    Attributes
    ----------
    left_out : list of str
        Lines that say what cannot be used, and why.
    """

    def __init__(self, manifest, opened):
        self.units, self.level = opened.units, "phone" if opened.phonemic else "word"
        most = opened.settings["piece_seconds"]
        chosen = candidates(manifest, opened.settings["locale"])
        with tempfile.TemporaryDirectory() as folder:
            prepared = prepare(chosen, Path(folder), opened.preparation, progress=False)
            rows = read_manifest(prepared.manifest)
            self.texts = {u.id: u.phonemes if opened.phonemic else u.text for u in rows}
            self.left_out = list(left_out(prepared.summary))
            self._pieces = [(u.id, piece) for u in rows for piece in segment(blocks(prepared.folder / u.path), most)]

    def errors(self, run, name):
        """`ErrorCounts` of greedy decoding by a function as `Eager`; ``name`` stands beside the progress bar."""
        heard = [""] * len(self._pieces)
        plans = BatchSampler([len(piece) / SAMPLE_RATE for _, piece in self._pieces], BATCH_SECONDS, shuffle=False)
        for plan in Bar(list(plans), desc=name, unit="batch", leave=False):
            for i, text in zip(plan.indices, self._decode(run, plan.indices), strict=True):
                heard[i] = text
        texts, join = {key: [] for key in self.texts}, Greedy(self.units).join
        for (key, _), text in zip(self._pieces, heard, strict=True):
            texts[key].append(text)
        return score(self.texts, {key: join(parts) for key, parts in texts.items()}, self.level).total

    def _decode(self, run, indices):
        pieces = [self._pieces[i][1] for i in indices]
        lengths = np.array([len(piece) for piece in pieces])
        audio = np.zeros((len(pieces), lengths.max()), np.float32)
        for row, piece in zip(audio, pieces, strict=True):
            row[: len(piece)] = piece
        for y, n in zip(*run(audio, lengths), strict=True):
            yield self.units.decode(collapse(y[:n].argmax(-1).tolist(), self.units.blank_id)[0])
