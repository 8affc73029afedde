"""How a run starts from a finished model: by its weights, or by the clusters that its encoder teaches."""

from serenanet_modules.errors import UserError
from serenanet_modules.lobes.features import AbsoluteLogMel
from serenanet_modules.runs.clusters import load_clusters
from serenanet_modules.runs.origin import ACOUSTIC
from serenanet_modules.runs.transfer import Transfer

PARTS = {  # how the names of their tensors begin
    "encoder": f"{ACOUSTIC}encoder.",
    "head": f"{ACOUSTIC}head.",
    "attention_decoder": "attention.",
    "adapter": "adapter.",
}
ALIKE = ("n_heads", "norm", "layers")  # their arguments with which the same tensors compute something else
CONFIG = "config"  # all of which is so of a public encoder, dropouts aside


class Start:
    """An origin as a certain run starts from it.

    The run takes over its feature statistics, and does not fit its own: the weights have learned to read features
    normalised by them, and clusters are points in that space.

    Parameters
    ----------
    origin : Origin
    hparams : Hparams
        Of the run.
    model : Module
        Its model, with ``acoustic``.
    iteration : int
        Of its masked prediction.
    units, unit_parts
        As of `Transfer`.

    Attributes
    ----------
    teaches : bool
        Whether the run takes from the origin not the weights and clusters but the targets' encoder.
    clusters : Path or None
        What the run's masked prediction goes on with.
    transfer : Transfer or None
        None where the origin teaches.

    Raises
    ------
    UserError
        For other features, a missing iteration in between, frame rates of which neither is a multiple of the other, an
        acoustic model that differs, and a part of which weights are taken and that computes something else with them.
    """

    def __init__(self, origin, hparams, model, iteration=1, units=None, unit_parts=()):
        self.origin = origin
        self._check_features(hparams, model.acoustic)
        self.teaches = self._check_iteration(iteration)
        self.clusters = None if self.teaches else origin.clusters
        masked = model.acoustic.has_features and model.acoustic.pessl is not None
        if masked and (self.teaches or self.clusters is not None):
            self._check_rates(model.acoustic, hparams.source)
        goes_on = masked and self.clusters is not None
        plan = (origin, model, units, unit_parts, goes_on, hparams.source)
        self.transfer = None if self.teaches else Transfer(*plan)
        self._check_arguments(hparams)

    def _check_features(self, hparams, acoustic):
        there, wanted = self.origin.hparams, self.origin.features
        if wanted is not None and acoustic.has_features and repr(acoustic.features) != repr(AbsoluteLogMel(**wanted)):
            asked = ", ".join(f"{name}: {value}" for name, value in wanted.items())
            raise UserError(
                f"{hparams.source}: the features differ from those of {self.origin.name}; give --features "
                f"'!new:serenanet_modules.lobes.AbsoluteLogMel {{{asked}}}'"
            )
        if there is not None and "features" in hparams.differences(there.source):
            raise UserError(
                f"{hparams.source}: 'features' differ from those in {there.source}, which the weights in that folder "
                "were made for; use the same"
            )

    def _check_iteration(self, iteration):
        """Whether the origin teaches."""
        origin = self.origin
        if iteration > origin.iteration + 1:
            raise UserError(
                f"iteration is {iteration}, but {origin.name} is of iteration {origin.iteration}; pre-train "
                f"iteration {origin.iteration + 1} first"
            )
        if iteration == origin.iteration + 1 and origin.hparams is None:
            raise UserError(
                f"iteration is {iteration}, but {origin.name} is no result folder, so it cannot give targets"
            )
        return iteration == origin.iteration + 1

    def _check_rates(self, acoustic, where):
        """Refuse frames that do not fall on the frames that the targets are made of."""
        if self.teaches:
            there = self.origin.hparams
            model = there.only(("model",)).build(there.source.with_name("weights.safetensors"))["model"]
            targets = model.acoustic.frontend.output_stride
        else:
            targets = load_clusters(self.clusters).representation.stride
        stride, frame = acoustic.frontend.output_stride, 1000 * acoustic.features.frame_seconds
        if stride % targets and targets % stride:
            raise UserError(
                f"{where}: an encoder frame is {frame * stride:g} ms, but the targets of {self.origin.name} come in "
                f"frames of {frame * targets:g} ms; one must be a multiple of the other"
            )

    def _check_arguments(self, hparams):
        """Refuse an argument that no tensor's shape shows, of the acoustic model and of heads that are taken."""
        if self.teaches or self.origin.hparams is None:
            return
        taken = (*self.transfer.whole, *self.transfer.by_symbol)
        for name, here, value in hparams.other_arguments(self.origin.hparams.source, PARTS):
            begins = PARTS.get(name.partition(".")[0], "")
            if _counts(name) and (begins.startswith(ACOUSTIC) or any(t.startswith(begins) for t in taken)):
                raise UserError(
                    f"{hparams.source}: '{name}' is {here}, but {value} in {self.origin.name}, whose weights compute "
                    "something else with it; give both the same"
                )

    def given(self):
        """Tensors that the run takes whole, by name."""
        return {} if self.transfer is None else self.transfer.given()

    def statistics(self, acoustic):
        """Values of what an acoustic model calls its statistics, by name; None where the origin has none."""
        values = {name: self.origin.tensors.get(f"{ACOUSTIC}{name}") for name in acoustic.statistics}
        return None if any(value is None for value in values.values()) else values

    def about(self):
        """What result.json says of it."""
        gave = {"gave": "targets"} if self.teaches else {"gave": "weights", **self.transfer.about()}
        return {**self.origin.about, **gave}


def _counts(name):
    """Whether an argument of a part, by its name with dots, is one that must be the same."""
    part, *inside, last = name.split(".")
    return part in PARTS and (last in ALIKE or (CONFIG in inside and "dropout" not in last))
