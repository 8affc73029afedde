"""How good clusters are: how evenly they are used, and how well they agree with phones.

The agreement measures are those of HuBERT (Hsu et al. 2021, arXiv 2106.07447, section IV), over frames with a phone
and a cluster each.
"""

import csv

import numpy as np

from serenanet_modules.runtime.files import replacing


def usage(counts):
    """How evenly clusters are used.

    Parameters
    ----------
    counts : array_like
        (K,) frames per cluster.

    Returns
    -------
    dict
        ``clusters``, ``dead`` (number without a frame), ``perplexity`` (exp of the entropy: K if all are used alike,
        1 if one has all), and ``most_frequent``: the share of the largest, which is also the accuracy of always
        guessing it.

    Examples
    --------
    >>> usage([5, 5, 0])
    {'clusters': 3, 'dead': 1, 'perplexity': 2.0, 'most_frequent': 0.5}
    """
    share = np.asarray(counts) / max(1, np.sum(counts))
    return {
        "clusters": len(share),
        "dead": int((share == 0).sum()),
        "perplexity": round(float(np.exp(_entropy(share))), 2),
        "most_frequent": round(float(share.max()), 4),
    }


def agreement(table):
    """How well clusters agree with phones.

    Parameters
    ----------
    table : array_like
        (K, P) frames per cluster and phone.

    Returns
    -------
    dict
        ``phone_purity``: accuracy of naming each cluster's frames by its most frequent phone; ``cluster_purity``: of
        naming each phone's frames by its most frequent cluster; ``pnmi``: phone-normalised mutual information
        I(phone; cluster) / H(phone), the share of the uncertainty about the phone that the cluster removes;
        ``frames``.

    Examples
    --------
    Two clusters for the first phone and one for the second tell phones apart, not clusters:

    >>> agreement([[2, 0], [2, 0], [0, 4]])
    {'phone_purity': 1.0, 'cluster_purity': 0.75, 'pnmi': 1.0, 'frames': 8}
    """
    table = np.asarray(table, dtype=np.float64)
    joint = table / max(1.0, table.sum())
    phones = _entropy(joint.sum(0))
    information = phones + _entropy(joint.sum(1)) - _entropy(joint)
    return {
        "phone_purity": round(float(joint.max(1).sum()), 4),
        "cluster_purity": round(float(joint.max(0).sum()), 4),
        "pnmi": round(float(information / phones), 4) if phones else 0.0,
        "frames": int(table.sum()),
    }


def _entropy(p):
    """-sum p log p in nats."""
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def write_clusters(path, counts, table, phones):
    """One CSV row per cluster: its number, its frames, and its frames with each phone.

    Parameters
    ----------
    path : Path
    counts : array_like
        (K,) frames per cluster.
    table : array_like
        (K, P), P = 0 without transcripts.
    phones : list of str
    """
    with replacing(path) as partial, open(partial, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["cluster", "frames", *phones])
        for k, (count, row) in enumerate(zip(counts, table, strict=True)):
            writer.writerow([k, int(count), *map(int, row)])
