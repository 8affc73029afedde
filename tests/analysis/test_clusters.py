"""The measures of clusters against an independent computation, and at their ends."""

import csv

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from serenanet_modules.analysis.cluster_plots import plot_phones, plot_usage
from serenanet_modules.analysis.clusters import agreement, usage, write_clusters


def frames(table):
    """One (cluster, phone) pair per frame of a table."""
    return np.array([(k, p) for (k, p), n in np.ndenumerate(table) for _ in range(n)]).T


def test_agreement_by_hand():
    """HuBERT's definitions, frame by frame."""
    table = np.random.default_rng(0).integers(0, 9, (6, 4))
    clusters, phones = frames(table)
    entropy = mutual_info_score(phones, phones)
    best_phone, best_cluster = table.argmax(1), table.argmax(0)
    found = agreement(table)
    assert found["phone_purity"] == pytest.approx(np.mean(best_phone[clusters] == phones), abs=1e-4)
    assert found["cluster_purity"] == pytest.approx(np.mean(best_cluster[phones] == clusters), abs=1e-4)
    assert found["pnmi"] == pytest.approx(mutual_info_score(phones, clusters) / entropy, abs=1e-4)
    assert found["frames"] == len(phones)


def test_ends():
    """Clusters that are phones, and clusters that say nothing of them."""
    assert agreement(np.eye(5) * 7) == {"phone_purity": 1.0, "cluster_purity": 1.0, "pnmi": 1.0, "frames": 35}
    assert agreement(np.outer([1, 2, 3], [4, 4])) == {
        "phone_purity": 0.5,
        "cluster_purity": 0.5,
        "pnmi": 0.0,
        "frames": 48,
    }
    assert agreement(np.zeros((3, 2)))["pnmi"] == 0.0
    assert usage([4] * 8) == {"clusters": 8, "dead": 0, "perplexity": 8.0, "most_frequent": 0.125}
    assert usage([0, 9, 0]) == {"clusters": 3, "dead": 2, "perplexity": 1.0, "most_frequent": 1.0}


def test_files(tmp_path):
    """The table can be read back, and both plots are PNG files."""
    table = np.random.default_rng(0).integers(0, 50, (100, 30))
    table[3] = 0
    phones = [f"p{i}" for i in range(30)]
    write_clusters(tmp_path / "clusters.csv", table.sum(1), table, phones)
    with open(tmp_path / "clusters.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [[int(row[p]) for p in phones] for row in rows] == table.tolist()
    plot_usage({"train": table.sum(1), "dev": table[:, 0]}, tmp_path / "usage.png")
    plot_phones(table, phones, tmp_path / "phones.png")
    for name in ("usage.png", "phones.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
