"""A fixed encoder whose frames are computed once and read from disk ever after, in training and evaluation.

What it makes of an utterance is a function of its samples alone, so it is looked up by them (`data.frame_cache`), and
nothing else of a training or an evaluation knows where the frames are from. Those of dev and test are always kept
exactly, so that a training measures what the finished model will say.
"""

import hashlib
import json
import logging
import math
import shutil
import time
from pathlib import Path

import torch
from torch.nn.utils.rnn import pad_sequence

from serenanet_modules.data.audio import SAMPLE_RATE, prepared
from serenanet_modules.data.augment import at_speed
from serenanet_modules.data.frame_cache import ENCODED, FrameCache, key_of
from serenanet_modules.data.segment import piece_seconds
from serenanet_modules.data.sources import Piece, cut
from serenanet_modules.data.summary import read_summary
from serenanet_modules.errors import UserError
from serenanet_modules.lobes.blocks.parts import Frames
from serenanet_modules.runtime import distributed
from serenanet_modules.runtime.amounts import duration
from serenanet_modules.runtime.bars import Bar
from serenanet_modules.runtime.files import read_json, replacing

logger = logging.getLogger(__name__)

VERSION = 1  # raise it when a change of our code (level, features, networks) gives a public encoder other frames
MEASURED = "measured"  # kind of the cache of dev and test; that of train is the type that was asked for
SPARE = 1.05  # of the room that the frames are expected to need


class Recall:
    """``(wavs (B, S), lengths (B,)) -> Frames``: a part's own frames, from caches where they have all of them.

    Parameters
    ----------
    part : Module
        Gives `Frames` of sound, of each utterance by its samples alone; it keeps its weights.
    *caches : FrameCache
        The first that has an utterance counts.
    """

    def __init__(self, part, *caches):
        self.part, self.caches = part, caches

    def __call__(self, wavs, lengths):
        keys = [key_of(wav[:n]) for wav, n in zip(wavs, lengths.tolist(), strict=True)]
        found = [next((cache for cache in self.caches if key in cache), None) for key in keys]
        if None in found:
            return self.part(wavs, lengths)
        rows = [cache[key].float() for cache, key in zip(found, keys, strict=True)]
        frames = torch.tensor([len(row) for row in rows], device=lengths.device)
        return Frames(pad_sequence(rows, batch_first=True).to(wavs.device), frames)


def remember(acoustic, hparams, root, splits):
    """Let an acoustic model recall what its listener makes of all that a run hears, where that keeps its weights.

    Parameters
    ----------
    acoustic : AcousticModel
    hparams : Namespace
        Of the run: ``encoder_cache``, the type for train; ``unfreeze_after`` and ``speed_perturb``.
    root : Path
        Folder of the prepared data.
    splits : dict of str to list of Utterance

    Returns
    -------
    dict
        What the frames have cost in seconds, whichever run made them, for result.json; {} where nothing is recalled.
    """
    part, dtype = acoustic.listener, getattr(hparams, "encoder_cache", None)
    if dtype is None or part is None or hparams.unfreeze_after or any(p.requires_grad for p in part.parameters()):
        return {}
    folder = Path(root).parent / ENCODED
    measured, *costs = recalled(part, folder, MEASURED, MeasuredSounds(root, splits, acoustic.most_seconds))
    trained, *more = recalled(part, folder, dtype, TrainSounds(root, splits["train"], hparams.speed_perturb))
    acoustic.listen = Recall(part, *measured.caches, *trained.caches)
    seconds, cpu_seconds = map(sum, zip(costs, more, strict=True))
    return {"encoder_cache": round(seconds, 1), "encoder_cache_cpu": round(cpu_seconds, 1)}


def recall_kept(acoustic, folder, dtype):
    """Let an acoustic model of a finished run recall what a training has kept of its listener's frames, if any.

    Parameters
    ----------
    acoustic : AcousticModel
    folder : Path
        Of the prepared data of all runs.
    dtype : str or None
        The training's ``encoder_cache``.
    """
    if dtype is not None and acoustic.listener is not None:
        caches = (cache_of(acoustic.listener, Path(folder) / ENCODED, kind) for kind in (MEASURED, dtype))
        acoustic.listen = Recall(acoustic.listener, *caches)


def cache_of(part, folder, kind):
    """The `FrameCache` of a part and a kind, which is a type or `MEASURED`, in the folder of all caches."""
    return FrameCache(Path(folder) / name_of(part, kind), "float32" if kind == MEASURED else kind)


def recalled(part, folder, kind, sounds):
    """A `Recall` of a part, whose cache holds all that is asked for; its work is done once by the main process.

    Parameters
    ----------
    part : Module
        As of `Recall`.
    folder : Path
        Holds the caches of all parts.
    kind : str
        float16 or float32, which frames of train are kept as, or `MEASURED`, whose are float32.
    sounds : TrainSounds or MeasuredSounds

    Returns
    -------
    Recall, float, float
        And the seconds, and seconds of processor time, that its cache has cost.

    Raises
    ------
    UserError
        Where the disk has no room for it, or the type no room for a value.
    """
    told = distributed.main_first(lambda: _filled(part, cache_of(part, folder, kind), sounds))
    return Recall(part, cache_of(part, folder, kind)), *told


def name_of(part, kind):
    """A hash of all that decides a part's frames: code, class, arguments, sizes, weights, the kind they are kept as."""
    digest = hashlib.sha256(f"{VERSION} {type(part).__qualname__} {part!r} {kind}".encode())
    for name, tensor in sorted(part.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


class TrainSounds:
    """What a training learns from: whole utterances, at each speed.

    Parameters
    ----------
    root : Path
        Folder of the prepared data.
    utterances : list of Utterance
    perturb : SpeedPerturb, optional
    """

    def __init__(self, root, utterances, perturb=None):
        self.root, self.utterances, self.perturb = Path(root), utterances, perturb

    @property
    def name(self):
        """Of this collection, among those of other corpora and speeds."""
        return "-".join(map(str, (self.root.name, *self._speeds)))

    @property
    def _speeds(self):
        return [100] if self.perturb is None else self.perturb.speeds

    @property
    def seconds(self):
        """Of audio, about."""
        return sum(u.duration for u in self.utterances) * sum(100 / speed for speed in self._speeds)

    def __iter__(self):
        """Samples (S,) of each, Tensors; a sound may come twice."""
        for u in self.utterances:
            samples = _samples(self.root, u)
            yield from [samples] if self.perturb is None else self._at_all_speeds(samples)

    def _at_all_speeds(self, samples):
        return (at_speed(self.perturb, number, samples) for number in range(len(self._speeds)))


class MeasuredSounds:
    """What a training is measured by: utterances of dev whole, of dev and test in the pieces that are evaluated.

    Parameters
    ----------
    root : Path
        Folder of the prepared data.
    splits : dict of str to list of Utterance
    most : float, optional
        Seconds that the model hears at once: pieces are no longer.
    """

    def __init__(self, root, splits, most=None):
        self.root, self.splits = Path(root), splits
        self.most = min(piece_seconds(read_summary(root)["splits"]["train"]["p99_seconds"]), most or math.inf)

    @property
    def name(self):
        """Of this collection, among those of other corpora and pieces."""
        return f"{self.root.name}-{self.most}"

    @property
    def seconds(self):
        """Of audio, about; dev is heard twice."""
        return sum(u.duration for split in ("dev", "dev", "test") for u in self.splits[split])

    def __iter__(self):
        """Samples (S,) of each, Tensors; a sound may come twice."""
        for u in self.splits["dev"]:
            yield _samples(self.root, u)
        for u in (*self.splits["dev"], *self.splits["test"]):
            pieces = (event for event in cut(self.root / u.path, self.most) if isinstance(event, Piece))
            yield from (torch.from_numpy(piece.samples) for piece in pieces if not piece.silent)


def _samples(root, utterance):
    return torch.from_numpy(prepared(root / utterance.path))


def _filled(part, cache, sounds):
    """Let a cache hold all sounds, and a file say so and what it cost; returns that."""
    done = cache.folder / f"{sounds.name}.json"
    with cache.lock():
        told = read_json(done) if done.is_file() else {}
        if told.get("files") and set(told["files"]) <= cache.files:
            return told["seconds"], told["cpu_seconds"]
        start, cpu_start = time.monotonic(), time.process_time()
        logger.info("encoding %.1f minutes of audio in %s", sounds.seconds / 60, cache.folder)
        with Bar(total=math.ceil(sounds.seconds), desc="encoder", unit="s", unit_scale=True) as bar:
            try:
                cache.extend(_missing(part, cache, sounds, bar))
            except OverflowError as error:
                told = f"encoder_cache: float16 cannot hold what the encoder gives ({error}); give float32"
                raise UserError(told) from None
        told = {"seconds": time.monotonic() - start, "cpu_seconds": time.process_time() - cpu_start}
        with replacing(done) as path:
            path.write_text(json.dumps({**told, "files": sorted(cache.files)}), encoding="utf-8")
        return told["seconds"], told["cpu_seconds"]


def _missing(part, cache, sounds, bar):
    """Key and frames (T, …) of each sound that the cache lacks, each encoded alone."""
    part.eval()
    device, seen = next(part.parameters()).device, set()
    for samples in sounds:
        key = key_of(samples)
        if key not in cache and key not in seen:
            with torch.inference_mode():
                found = part(samples.unsqueeze(0).to(device), torch.tensor([len(samples)], device=device))
            x = found.x[0, : int(found.lengths)]
            if not seen:
                _check_room(cache, x, len(samples), sounds.seconds - bar.n)
            seen.add(key)
            yield key, x
        bar.update(len(samples) / SAMPLE_RATE)


def _check_room(cache, x, samples, seconds):
    """Refuse, before the long work, what the disk will not hold."""
    needed = SPARE * x.numel() * cache.dtype.itemsize * SAMPLE_RATE / samples * seconds
    free = shutil.disk_usage(cache.folder).free
    if needed > free:
        raise UserError(
            f"{cache.folder}: the encoder's frames of {duration(seconds)} need {needed / 1e9:.1f} GB, and "
            f"{free / 1e9:.1f} GB are free; make room, give another --prepared_folder, or --encoder_cache null"
        )
