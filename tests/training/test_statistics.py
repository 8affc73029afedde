"""What an acoustic model fits to the sound of train is fitted once: in a result folder, and beside the data."""

from types import SimpleNamespace

import pytest
import torch

from serenanet_modules.training.brains import speech


class Counting:
    """An acoustic model whose statistics are how often any of its kind was fitted."""

    fits = 0
    has_features = True

    def __init__(self, features="LogMel(80)"):
        self.features, self.statistics = features, {"mean": torch.zeros(1)}

    def fit_statistics(self, batches):
        Counting.fits += 1
        self.set_statistics({"mean": torch.tensor([float(Counting.fits)])})

    def set_statistics(self, statistics):
        self.statistics = statistics


@pytest.fixture
def fit(tmp_path, monkeypatch):
    """``fit(result folder, …) -> statistics`` on data in a folder that lies beside."""
    monkeypatch.setattr(Counting, "fits", 0)
    (tmp_path / "data").mkdir()
    source = SimpleNamespace(root=tmp_path / "data", splits={"train": []})

    def fitted(folder, acoustic=None, start=None, seed=1):
        acoustic = acoustic or Counting()
        speech._fit_statistics(acoustic, source, start, {"seed": seed}, tmp_path / folder / "statistics.pt")
        return acoustic.statistics["mean"].item()

    return fitted


def test_runs_with_the_same_features_and_data_share_them(fit):
    assert fit("one") == fit("one") == fit("two") == 1
    assert fit("three", Counting("LogMel(40)")) == 2 and fit("four", seed=2) == 3
    assert fit("five") == 1


def test_a_model_without_features_keeps_its_own(fit):
    waves = Counting()
    waves.has_features = False
    assert fit("one", waves) == 1 and fit("two") == 2


def test_those_of_a_pretraining_come_first(fit):
    start = SimpleNamespace(statistics=lambda acoustic: {"mean": torch.tensor([7.0])})
    assert fit("one") == 1 and fit("two", start=start) == 7 and fit("three") == 1


def test_data_that_cannot_be_written_is_no_obstacle(fit, tmp_path):
    (tmp_path / "data").rmdir()
    (tmp_path / "data").write_text("in the way")
    assert fit("one") == 1 and fit("two") == 2
