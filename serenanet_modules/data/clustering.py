"""Fitting acoustic clusters on frames sampled over a whole corpus, however large it is."""

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from serenanet_modules.data.audio import SAMPLE_RATE
from serenanet_modules.data.batching import loader_of
from serenanet_modules.errors import UserError
from serenanet_modules.runtime.bars import Bar

BATCH_FRAMES = 10_000  # of a k-means step, as in HuBERT
PASSES = 100  # most of them over the sample
STARTS = 3  # k-means++ starts, of which the best is kept
PLUS_PLUS_FRAMES = 20_000  # that further centroids are drawn from


def frames_of(loader, features, representation, device):
    """Run ``representation`` over a corpus.

    Yields
    ------
    tuple
        The utterance, its normalised features x (T, F), and its frames (ceil(T / stride), D).
    """
    for batch in loader:
        batch.to(device)
        with torch.no_grad():
            x, lengths = features(batch.wavs, batch.wav_lengths)
            y = representation(x, lengths)
        frames = -(-lengths // representation.stride)
        for i, utterance in enumerate(batch.utterances):
            yield utterance, x[i, : lengths[i]], y[i, : frames[i]]


def sample_frames(rows, root, features, representation, count, seed, device="cpu", num_workers=0, progress=True):
    """Draw frames uniformly and without replacement from all utterances, whose audio is read once.

    How many come from each utterance is drawn beforehand from the durations, so memory holds the sample and one batch.

    Parameters
    ----------
    rows : list of Utterance
    root : Path
        Folder of the manifest.
    features : LogMel
    representation : Module
        As in `serenanet_modules.lobes.heads.clusters.Clusters`.
    count : int
        Frames to draw; all where there are fewer.
    seed : int
    device : torch.device
        Where features and representation stand.
    num_workers : int
        Processes that read audio.
    progress : bool

    Returns
    -------
    numpy.ndarray
        (N, D) float32.
    """
    rng = np.random.default_rng(seed)
    totals = np.array(
        [-(-(round(u.duration * SAMPLE_RATE) // features.hop + 1) // representation.stride) for u in rows]
    )
    quotas = frame_quotas(totals, count, rng)
    chosen = {u.id: quota for u, quota in zip(rows, quotas, strict=True) if quota}
    rows = [u for u in rows if u.id in chosen]
    sample = []
    with Bar(total=len(rows), desc="clusters: frames", unit="clip", disable=not progress) as bar:
        for utterance, _, y in frames_of(loader_of(rows, root, num_workers), features, representation, device):
            places = rng.permutation(len(y))[: chosen[utterance.id]]
            sample.append(y[torch.from_numpy(np.sort(places)).to(y.device)].float().cpu().numpy())
            bar.update()
    return np.concatenate(sample)


def frame_quotas(totals, count, rng):
    """How many of ``count`` frames, drawn without replacement, fall on each utterance of ``totals`` (N,) frames.

    NumPy's multivariate hypergeometric draw stops at a billion frames, 2800 hours.
    """
    ends = totals.cumsum()
    drawn = rng.choice(ends[-1], min(count, ends[-1]), replace=False, shuffle=False)  # numbers of frames
    return np.bincount(np.searchsorted(ends, drawn, side="right"), minlength=len(totals))


def fit_centroids(sample, n_clusters, seed, seeds=None):
    """Mini-batch k-means (Sculley 2010).

    Parameters
    ----------
    sample : numpy.ndarray
        (N, D) float32.
    n_clusters : int
    seed : int
    seeds : numpy.ndarray, optional
        (S, D), S <= n_clusters: where the first centroids start; the others are drawn by k-means++ around them.

    Returns
    -------
    numpy.ndarray
        (n_clusters, D) float32.

    Raises
    ------
    UserError
        Where there are fewer frames than clusters, or more seeds than clusters.
    """
    from sklearn.cluster import MiniBatchKMeans  # slow to import, and most trainings need no clusters

    if len(sample) < n_clusters:
        raise UserError(f"n_clusters is {n_clusters}, but the training set gives only {len(sample)} frames to cluster")
    if seeds is not None and len(seeds) > n_clusters:
        raise UserError(f"n_clusters is {n_clusters}, fewer than the {len(seeds)} phones that seed the clusters")
    start = {"init": "k-means++", "n_init": STARTS}
    if seeds is not None:
        start = {"init": spread(sample, seeds, n_clusters, seed), "n_init": 1}
    kmeans = MiniBatchKMeans(
        n_clusters,
        **start,
        max_iter=PASSES,
        batch_size=BATCH_FRAMES,
        max_no_improvement=20,
        reassignment_ratio=0.0,
        random_state=seed,
    )
    with threadpool_limits(1):  # the order of sums, and so the centroids, must not depend on the number of cores
        return kmeans.fit(sample).cluster_centers_.astype(np.float32)


def spread(sample, seeds, n_clusters, seed):
    """k-means++ (Arthur and Vassilvitskii 2007) that goes on from given centroids, float32 (n_clusters, D)."""
    rng = np.random.default_rng(seed)
    sample = sample[rng.permutation(len(sample))[:PLUS_PLUS_FRAMES]]
    centroids = list(seeds)
    nearest = np.min([np.square(sample - c).sum(1) for c in centroids], axis=0)
    while len(centroids) < n_clusters:
        centroids.append(sample[rng.choice(len(sample), p=nearest / nearest.sum())])
        nearest = np.minimum(nearest, np.square(sample - centroids[-1]).sum(1))
    return np.array(centroids, dtype=np.float32)
