"""``--reproducible``: the same weights, bit by bit, after each epoch, however many threads there are."""

from tests.support.hooks import three_threads


def test_threads_change_no_weight(train, tmp_path):
    options = ("--reproducible", "--number_of_epochs", 2, "--beam_size", 0, "--lm", "null")
    runs = [train(*options, hooks=hooks, folder=tmp_path / str(i)) for i, hooks in enumerate(([], [three_threads]))]
    one, three = (run.done().result for run in runs)
    assert one["reproducible"] is True and len(one["history"]) == 2
    assert [epoch["weights"] for epoch in one["history"]] == [epoch["weights"] for epoch in three["history"]]
    assert one["history"][0]["weights"] != one["history"][1]["weights"]
