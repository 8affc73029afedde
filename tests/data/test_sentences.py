"""Sentences as labels: what is read, kept and batched."""

import gzip

import numpy as np
import pytest
import torch

from serenanet_modules.data.batching import BatchSampler
from serenanet_modules.data.sentences import Sentences, fingerprint, read_sentences
from serenanet_modules.errors import UserError

ROWS = [[3, 1], [2], [5, 5, 5, 4]]


def sentences():
    return Sentences.of([np.array(row, dtype=np.uint16) for row in ROWS], words=6)


def test_every_label_once_in_padded_batches(tmp_path):
    """Also after a detour through a file."""
    sentences().save(tmp_path / "x.npz")
    found = Sentences.load(tmp_path / "x.npz")
    assert (len(found), found.words, found.lengths.tolist()) == (3, 6, [2, 1, 4])
    batches = [found[plan] for plan in BatchSampler(found.lengths.tolist(), 4, shuffle=False)]
    rows = {u.id: b.labels[i, : b.label_lengths[i]].tolist() for b in batches for i, u in enumerate(b.utterances)}
    assert rows == {f"sentence {i + 1}": row for i, row in enumerate(ROWS)}
    assert all(b.labels.dtype == torch.int64 for b in batches)


def test_plain_and_compressed_text(tmp_path):
    (tmp_path / "a.txt").write_text("moja mbili\n\n  \ntatu\r\n", encoding="utf-8")
    with gzip.open(tmp_path / "b.txt.gz", "wt", encoding="utf-8") as file:
        file.write("nne\n")
    assert list(read_sentences([tmp_path / "a.txt", tmp_path / "b.txt.gz"])) == ["moja mbili", "tatu", "nne"]


@pytest.mark.parametrize("name", ["latin.txt", "torn.gz", "missing.txt"])
def test_bad_files_are_named(tmp_path, name):
    (tmp_path / "latin.txt").write_bytes("año".encode("latin-1"))
    (tmp_path / "torn.gz").write_bytes(gzip.compress(b"moja mbili " * 1000)[:40])
    with pytest.raises(UserError, match=name):
        list(read_sentences([tmp_path / name]))


def test_changed_text_is_other_data(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("moja")
    first = fingerprint([path], 1)
    assert fingerprint([path], 1) == first != fingerprint([path], 2)
    path.write_text("moja mbili")
    assert fingerprint([path], 1) != first
