"""The result folder of a pre-training run, opened to start another run from."""

import json
from collections import defaultdict
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from serenanet_modules.config.foreign import Document, inside
from serenanet_modules.errors import UserError
from serenanet_modules.runs.clusters import CLUSTERS, describe_clusters, load_clusters

ACOUSTIC = "acoustic."  # begins the names of an acoustic model's weights
NEEDED = ("hyperparams.yaml", "weights.safetensors", "result.json", f"save/{CLUSTERS}")


class PretrainedRun:
    """Weights, statistics of features and clusters of a pre-training run.

    The run that starts from it takes over its feature statistics too, and does not fit its own: the clusters are
    points in the space of features normalised by them, and the weights have learned to read that space.

    Parameters
    ----------
    folder : str or Path
        ``results/<dataset>/<experiment>/<seed>`` of a finished run of hparams/pessl.yaml.

    Attributes
    ----------
    hparams : Hparams
    tensors : dict of str to Tensor
        The model's weights and statistics by name.
    clusters : Path
    iteration : int
        Of those clusters.

    Raises
    ------
    UserError
        For any other folder.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise UserError(f"pretrained: there is no folder {folder}")
        missing = [name for name in NEEDED if not (self.folder / name).is_file()]
        result = {} if missing else self._result()
        if missing or "pretraining" not in result:
            lacks = f"{missing[0]} is missing" if missing else "result.json is that of another kind of run"
            raise UserError(
                f"pretrained: {folder} is not the result folder of a finished pre-training ({lacks}); "
                "give results/<dataset>/<experiment>/<seed> of a run of hparams/pessl.yaml"
            )
        inside(self.folder, *NEEDED)
        self.hparams = Document.of_run(self.folder)
        self.tensors = self._weights()
        self.clusters = self.folder / "save" / CLUSTERS
        self.iteration = describe_clusters(self.clusters)["iteration"]
        self.summary = {
            "folder": str(folder),
            "experiment": result["experiment"],
            "commit": result["commit"],
            "hours": result["data"]["splits"]["train"]["hours"],
            "epochs": result["epochs"],
            "iteration": self.iteration,
        }

    def _result(self):
        path = self.folder / "result.json"
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{path}: is not valid JSON ({error})") from None

    def _weights(self):
        path = self.folder / "weights.safetensors"
        try:
            return {name.removeprefix("model."): tensor for name, tensor in load_file(path).items()}
        except (SafetensorError, OSError) as error:
            raise UserError(f"{path}: cannot be read as weights ({error})") from None

    def statistics(self, acoustic):
        """Values of what an acoustic model with the same features calls its statistics, by name."""
        return {name: self.tensors[f"{ACOUSTIC}{name}"] for name in acoustic.statistics}

    def teaches(self, iteration):
        """Whether a run of this iteration takes from here not the weights and clusters but the targets' encoder.

        Raises
        ------
        UserError
            Where an iteration in between is missing.
        """
        if iteration > self.iteration + 1:
            raise UserError(
                f"iteration is {iteration}, but {self.folder} is of iteration {self.iteration}; pre-train "
                f"iteration {self.iteration + 1} first"
            )
        return iteration == self.iteration + 1

    def check(self, hparams, model, iteration):
        """Refuse a run that cannot start from here.

        Parameters
        ----------
        hparams : Hparams
            Of that run.
        model : PretrainingModel or CTCModel
            Its model.
        iteration : int
            Asked for.

        Raises
        ------
        UserError
            For other features, frame rates of which neither is a multiple of the other, and, where the weights are
            taken, a tensor of another shape (named, with both shapes) or an encoder with nothing in common.
        """
        if "features" in hparams.differences(self.hparams.source):
            raise UserError(
                f"{hparams.source}: 'features' differ from those in {self.hparams.source}, which the clusters and "
                "weights in that folder were made for; use the same"
            )
        teaches = self.teaches(iteration)
        if model.acoustic.has_features and model.acoustic.pessl is not None:
            self._check_rates(model.acoustic, hparams.source, teaches)
        if not teaches:
            self._check_weights(model.state_dict(), hparams.source)

    def _check_rates(self, acoustic, where, teaches):
        """Refuse frames that do not fall on the frames that the targets are made of."""
        if teaches:
            model = self.hparams.only(("model",)).build(self.folder / "weights.safetensors")["model"]
            targets = model.acoustic.frontend.output_stride
        else:
            targets = load_clusters(self.clusters).representation.stride
        stride, frame = acoustic.frontend.output_stride, 1000 * acoustic.features.frame_seconds
        if stride % targets and targets % stride:
            raise UserError(
                f"{where}: an encoder frame is {frame * stride:g} ms, but the targets of {self.folder} come in frames "
                f"of {frame * targets:g} ms; one must be a multiple of the other"
            )

    def _check_weights(self, own, where):
        for name, tensor in self.tensors.items():
            if name in own and own[name].shape != tensor.shape:
                raise UserError(
                    f"pretrained: {name} is {_shape(tensor)} in {self.folder}, but {_shape(own[name])} in the model of "
                    f"{where}; give both the same sizes"
                )
        if not any(name.startswith(f"{ACOUSTIC}encoder.") and name in own for name in self.tensors):
            raise UserError(f"pretrained: the encoder in {self.folder} is of another kind than that of {where}")

    def load_into(self, model):
        """Copy the weights whose names match.

        Returns
        -------
        str
            What was taken and what was not, by part, for people.
        """
        own = model.state_dict()
        model.load_state_dict({name: t for name, t in self.tensors.items() if name in own}, strict=False)
        rows = defaultdict(lambda: [0, 0, 0])  # parameters taken, new in this model, left behind
        for name in {**own, **self.tensors}:
            if name.removeprefix(ACOUSTIC) in model.acoustic.statistics:
                continue
            column = 0 if name in own and name in self.tensors else 1 if name in own else 2
            rows[name.removeprefix(ACOUSTIC).partition(".")[0]][column] += (own | self.tensors)[name].numel()
        lines = [f"{part:<12}{taken:>14,}{new:>14,}{left:>14,}" for part, (taken, new, left) in rows.items()]
        heading = f"{'part':<12}{'taken':>14}{'not in it':>14}{'not used':>14}"
        return "\n".join([f"parameters from {self.folder}", heading, *lines])


def _shape(tensor):
    return "×".join(map(str, tensor.shape)) or "a single number"
