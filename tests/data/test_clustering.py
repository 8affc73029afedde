"""Sampling is exact and seeded, and k-means finds what is there."""

import tracemalloc
import weakref
from functools import partial

import numpy as np
import pytest
import soundfile
import torch

from serenanet_modules.data.batching import loader_of
from serenanet_modules.data.clustering import fit_centroids, frame_quotas, sample_frames, spread
from serenanet_modules.data.manifest import Utterance
from serenanet_modules.errors import UserError
from serenanet_modules.lobes.features import LogMel
from serenanet_modules.lobes.heads.clusters import Spectrum

SECONDS = (0.3, 1.0, 0.47, 2.0)
FRAMES = sum(round(16000 * s) // 160 + 1 for s in SECONDS)


@pytest.fixture(scope="module", name="sample")
def _sample(tmp_path_factory):
    """sample(count, seed, …) draws frames of four clips of noise."""
    root = tmp_path_factory.mktemp("noise")
    rng = np.random.default_rng(0)
    rows = []
    for i, seconds in enumerate(SECONDS):
        soundfile.write(root / f"{i}.flac", rng.normal(0, 0.1, round(16000 * seconds)), 16000)
        rows.append(Utterance(f"u{i}", f"{i}.flac", seconds, "", "", "s", "sw", "train"))
    features = LogMel(8, 512)

    def sample(count, seed=0, representation=None, **options):
        return sample_frames(rows, root, features, representation or Spectrum(), count, seed, progress=False, **options)

    return sample


def test_everything_is_sampled_once(sample):
    """As many frames as there are: each of them; fewer: that many different ones of the same."""
    everything = sample(10**6)
    assert everything.shape == (FRAMES, 24) and everything.dtype == np.float32
    known = {row.tobytes() for row in everything}
    some = sample(100)
    assert len(known) == FRAMES and len({row.tobytes() for row in some}) == 100
    assert {row.tobytes() for row in some} <= known


def test_the_seed_decides(sample):
    """Not the number of processes that read the audio."""
    assert np.array_equal(sample(50), sample(50, num_workers=1))
    assert not np.array_equal(sample(50), sample(50, seed=1))


def test_slower_frames(sample):
    """A representation of 40 ms frames has a quarter of them."""

    class Slow(torch.nn.Module):
        stride = 4

        def forward(self, x, lengths):
            return x[:, ::4]

    assert len(sample(10**6, representation=Slow())) == sum(-(-(round(16000 * s) // 160 + 1) // 4) for s in SECONDS)


def test_a_corpus_of_any_length():
    """Frames are numbered to more than a billion, and the share of each clip is what its length says."""
    quotas = frame_quotas(np.full(1000, 6_000_000), 5000, np.random.default_rng(0))
    assert quotas.sum() == 5000 and quotas.shape == (1000,) and 3 < quotas.var() < 7  # Poisson's is 5
    assert frame_quotas(np.array([3, 1, 2]), 10, np.random.default_rng(0)).tolist() == [3, 1, 2]


def test_memory_does_not_grow_with_the_corpus(sample, monkeypatch):
    """Of the batches only the drawn frames are kept, and the draw counts clips, not frames."""
    one_by_one = partial(loader_of, batch_seconds=0.5)
    monkeypatch.setattr("serenanet_modules.data.clustering.loader_of", one_by_one)
    made, alive = [], []

    class Watched(Spectrum):
        def forward(self, x, lengths):
            alive.append(sum(batch() is not None for batch in made))
            y = super().forward(x, lengths)
            made.append(weakref.ref(y))
            return y

    sample(200, representation=Watched())
    assert len(made) == len(SECONDS) and max(alive) <= 1
    clips = np.full(100_000, 6000)  # of a minute
    tracemalloc.start()
    frame_quotas(clips, 2000, np.random.default_rng(0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50 * len(clips), "bytes"


def blobs(centres, each=200):
    rng = np.random.default_rng(0)
    return np.concatenate([c + rng.normal(0, 0.1, (each, len(c))) for c in centres]).astype(np.float32)


CENTRES = np.array([[0, 0], [5, 0], [0, 5], [5, 5], [9, 9]], dtype=np.float32)


def test_centroids_are_the_blobs():
    found = fit_centroids(blobs(CENTRES), 5, seed=0)
    distance = np.linalg.norm(found[:, None] - CENTRES[None], axis=-1)
    assert sorted(distance.argmin(1)) == [0, 1, 2, 3, 4] and distance.min(1).max() < 0.1
    assert np.array_equal(found, fit_centroids(blobs(CENTRES), 5, seed=0))


def test_seeded_centroids():
    """Seeds keep their places, and the others start where no seed is."""
    seeds = CENTRES[[3, 1]] + 0.1
    assert np.array_equal(spread(blobs(CENTRES), seeds, 5, seed=0)[:2], seeds)
    found = fit_centroids(blobs(CENTRES), 5, 0, seeds)
    assert np.linalg.norm(found[:2] - CENTRES[[3, 1]], axis=1).max() < 0.1
    assert np.linalg.norm(found[:, None] - CENTRES[None], axis=-1).min(0).max() < 0.1


def test_refused():
    with pytest.raises(UserError, match="n_clusters is 9, but the training set gives only 5 frames"):
        fit_centroids(CENTRES, 9, 0)
    with pytest.raises(UserError, match="fewer than the 5 phones"):
        fit_centroids(blobs(CENTRES), 3, 0, CENTRES)
