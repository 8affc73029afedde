"""Plots of clusters: how often each is used, and which phones it stands for."""

import itertools

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from serenanet_modules.analysis.palette import BLUE, VERMILION
from serenanet_modules.runtime.files import replacing


def plot_usage(counts, path):
    """Share of frames per cluster, the most frequent of the first split to the left.

    Parameters
    ----------
    counts : dict of str to array_like
        Split -> (K,) frames per cluster.
    path : Path
        PNG file.
    """
    shares = {split: 100 * np.asarray(c) / max(1, np.sum(c)) for split, c in counts.items()}
    first, *others = shares
    order = np.argsort(-shares[first], kind="stable")
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots()
    place = np.arange(len(order))
    axes.bar(place, shares[first][order], width=0.8, color=BLUE, label=first)
    for split, marker in zip(others, itertools.cycle(".x+^sv"), strict=False):
        axes.plot(place, shares[split][order], marker, color=VERMILION, markersize=5, label=split)
    axes.axhline(100 / len(order), color="black", linewidth=0.8, linestyle="--", label="all alike")
    axes.set(xlabel="cluster, by frequency", ylabel="frames (%)", xlim=(-1, len(order)))
    axes.set_title("Cluster usage")
    axes.legend(frameon=False)
    _save(figure, path)


def plot_phones(table, phones, path):
    """P(phone | cluster) as a matrix, clusters grouped by their most frequent phone.

    Parameters
    ----------
    table : array_like
        (K, P) frames per cluster and phone; clusters and phones without frames are left out.
    phones : list of str
    path : Path
        PNG file.
    """
    table = np.asarray(table, dtype=np.float64)
    used = table[table.sum(1) > 0]
    by_frequency = [i for i in np.argsort(-table.sum(0), kind="stable") if table[:, i].sum() > 0]
    p = (used / used.sum(1, keepdims=True))[:, by_frequency]
    best = p.argmax(1)
    order = np.lexsort((-p[np.arange(len(p)), best], best))
    figure = Figure(figsize=(11, 0.2 * len(by_frequency) + 1.8), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(p[order].T, aspect="auto", cmap="viridis", vmin=0, vmax=1, interpolation="nearest")
    axes.set_yticks(range(len(by_frequency)), [phones[i] for i in by_frequency], fontsize=8)
    axes.set(xlabel="cluster, by its most frequent phone", ylabel="phone, by frequency")
    axes.set_title("Phones behind each cluster")
    figure.colorbar(image, ax=axes, label="P(phone | cluster)", pad=0.01)
    _save(figure, path)


def _save(figure, path):
    """PNG, whole or not at all; phones in IPA need the font that matplotlib brings."""
    with matplotlib.rc_context({"font.family": "DejaVu Sans"}), replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=150)
