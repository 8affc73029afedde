"""Where a training's curves go: TensorBoard, Weights & Biases, MLflow.

Each kind has ``add_scalar(name, value, step)``, ``flush`` and ``close``. The services' own settings count:
``WANDB_MODE=offline``, ``WANDB_PROJECT``, ``MLFLOW_TRACKING_URI``. A run that goes on in its folder goes on in theirs.
"""

import hashlib
import importlib
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from serenanet_modules.errors import UserError

PACKAGES = {"wandb": "wandb", "mlflow": "mlflow-skinny"}
RUN = "mlflow.txt"  # in the result folder: MLflow's name of the run


class Writers:
    """TensorBoard, and what else is asked for, as one.

    Parameters
    ----------
    plain : dict
        The run's hyper-parameters; ``loggers`` names further kinds.
    step : int
        Optimizer steps that are done: what an earlier process wrote of later ones does not count.
    """

    def __init__(self, plain, step):
        tensorboard = SummaryWriter(f"{plain['output_folder']}/tensorboard", purge_step=step + 1)
        self._writers = [tensorboard, *(KINDS[kind](plain) for kind in _listed(plain.get("loggers")))]

    def add_scalar(self, name, value, step):
        for writer in self._writers:
            writer.add_scalar(name, value, step)

    def flush(self):
        for writer in self._writers:
            writer.flush()

    def close(self):
        for writer in self._writers:
            writer.close()


def check(plain, where):
    """Refuse a kind whose package is missing.

    Raises
    ------
    UserError
    """
    for kind in _listed(plain.get("loggers")):
        _imported(kind, where)


def _listed(value):
    return [] if value is None else list(dict.fromkeys(value)) if isinstance(value, list) else [value]


class _WandB:
    """https://docs.wandb.ai/ref/python/init"""

    def __init__(self, plain):
        folder = str(plain["output_folder"])
        self._run = _imported("wandb", "loggers").init(
            project=_project(plain),
            name=_name(plain),
            id=hashlib.sha256(str(Path(folder).absolute()).encode()).hexdigest()[:16],
            resume="allow",
            dir=folder,
            config=plain,
        )

    def add_scalar(self, name, value, step):
        self._run.log({name: value}, step=step)

    def flush(self):
        """It sends what it has by itself."""

    def close(self):
        self._run.finish()


class _MLflow:
    """https://mlflow.org/docs/latest/python_api/mlflow.html"""

    def __init__(self, plain):
        self._mlflow, file = _imported("mlflow", "loggers"), Path(plain["output_folder"]) / RUN
        self._mlflow.set_experiment(_project(plain))
        known = file.read_text(encoding="utf-8") if file.is_file() else None
        run = self._mlflow.start_run(run_id=known, run_name=None if known else _name(plain))
        file.write_text(run.info.run_id, encoding="utf-8")
        if known is None:
            self._mlflow.log_params({name: str(value)[:250] for name, value in plain.items()})

    def add_scalar(self, name, value, step):
        self._mlflow.log_metric(name, value, step=step)

    def flush(self):
        """It writes each value as it comes."""

    def close(self):
        self._mlflow.end_run()


KINDS = {"wandb": _WandB, "mlflow": _MLflow}


def _project(plain):
    """Slashes part folders there."""
    return plain["dataset"].replace("/", "-")


def _name(plain):
    return f"{plain['experiment']}-{plain['seed']}"


def _imported(kind, where):
    try:
        return importlib.import_module(kind)
    except ImportError:
        raise UserError(
            f"{where}: 'loggers' names {kind}, which is not installed; pip install 'serenanet[{kind}]', or leave it out"
        ) from None
