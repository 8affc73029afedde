"""Curves go to TensorBoard and to what else is asked for, and go on where a run goes on."""

import sys
from types import SimpleNamespace

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from serenanet_modules.errors import UserError
from serenanet_modules.training.writers import Writers, check

PLAIN = {"dataset": "CommonVoice/sw", "experiment": "small", "seed": 1, "lr": 0.1}


class FakeWandB:
    """The calls of wandb.init, Run.log and Run.finish, with their arguments' names."""

    def __init__(self):
        self.runs, self.logged, self.finished = [], [], 0

    def init(self, *, project, name, id, resume, dir, config):
        self.runs.append((project, name, id, resume))
        return self

    def log(self, values, step):
        self.logged.append((values, step))

    def finish(self):
        self.finished += 1


class FakeMLflow:
    """The calls of mlflow's fluent interface."""

    def __init__(self):
        self.started, self.logged, self.params = [], [], {}

    def set_experiment(self, name):
        self.experiment = name

    def start_run(self, run_id=None, run_name=None):
        self.started.append((run_id, run_name))
        return SimpleNamespace(info=SimpleNamespace(run_id=run_id or "run-7"))

    def log_params(self, params):
        assert not self.params, "parameters of a run are written once"
        self.params = params

    def log_metric(self, key, value, step):
        self.logged.append((key, value, step))

    def end_run(self):
        self.started.append("end")


@pytest.fixture
def services(monkeypatch):
    fakes = {"wandb": FakeWandB(), "mlflow": FakeMLflow()}
    for name, fake in fakes.items():
        monkeypatch.setitem(sys.modules, name, fake)
    return SimpleNamespace(**fakes)


def written(folder, loggers, step, value):
    writers = Writers({**PLAIN, "output_folder": str(folder), "loggers": loggers}, step)
    writers.add_scalar("train/loss", value, step + 1)
    writers.flush()
    writers.close()


def test_all_get_the_same(services, tmp_path):
    """Name, value and step; runs are named after the experiment."""
    written(tmp_path, ["wandb", "mlflow"], 9, 0.5)
    assert services.wandb.logged == [({"train/loss": 0.5}, 10)] and services.wandb.finished == 1
    assert services.mlflow.logged == [("train/loss", 0.5, 10)] and services.mlflow.params["lr"] == "0.1"
    assert (
        services.wandb.runs[0][:2] == ("CommonVoice-sw", "small-1") and services.mlflow.experiment == "CommonVoice-sw"
    )
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("train/loss")] == [(10, 0.5)]


def test_a_run_goes_on_in_theirs(services, tmp_path):
    """Another folder is another run."""
    for folder in (tmp_path / "a", tmp_path / "a", tmp_path / "b"):
        folder.mkdir(exist_ok=True)
        written(folder, ["wandb", "mlflow"] if folder.name == "a" else "wandb", 0, 1.0)
    first, again, other = (run[2] for run in services.wandb.runs)
    assert first == again != other and {run[3] for run in services.wandb.runs} == {"allow"}
    assert services.mlflow.started == [(None, "small-1"), "end", ("run-7", None), "end"]


def test_a_missing_package_is_said_before(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match=r"x.yaml: 'loggers' names wandb, .*; pip install 'serenanet\[wandb\]'"):
        check({"loggers": ["wandb"]}, "x.yaml")
    check({"loggers": None}, "x.yaml")
    check({}, "x.yaml")
