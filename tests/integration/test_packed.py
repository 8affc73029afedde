"""A training from tar archives is the training from files."""

from serenanet_modules.data.listed import Listed
from serenanet_modules.data.tars import member
from tests.support.tiny import PAIRS, distance, prepared_manifest


def test_packed_is_the_same_run(train, reference, corpus):
    """Bit by bit: weights after each epoch, and texts."""
    run = train("--pack", *PAIRS).done()
    assert distance(run.folder, reference.folder) == 0.0
    assert [e["weights"] for e in run.result["history"]] == [e["weights"] for e in reference.result["history"]]
    assert (run.folder / "decoded_test.csv").read_text() == (reference.folder / "decoded_test.csv").read_text()
    assert all(member(u.path) for u in Listed(prepared_manifest(corpus, run.folder)))
    assert not any(member(u.path) for u in Listed(prepared_manifest(corpus, reference.folder)))
