"""What models over units share, whether they write them or predict them from others."""

from pathlib import Path

from serenanet_modules.data.units import load_units
from serenanet_modules.errors import UserError
from serenanet_modules.training.loop import RecipeBrain
from serenanet_modules.training.task import Outputs

UNITS = "units"


class UnitsBrain(RecipeBrain):
    """A `RecipeBrain` whose network's outputs are units; the result folder keeps them.

    Parameters
    ----------
    units : Units
    **kwargs
        As in `RecipeBrain`.
    """

    def __init__(self, *args, units, **kwargs):
        super().__init__(*args, **kwargs)
        self.units = units

    @classmethod
    def outputs(cls, plain, where, save, learned):
        """The units that were learned, or those of an earlier run."""
        folder = Path(save) / UNITS
        units = load_units(folder) if learned is None or cls.kept(save) else learned
        if learned is not None and units.pieces != learned.pieces:
            raise UserError(f"{folder} holds other units than {where} asks for now: give another --experiment")
        return Outputs({"units": units}, {"n_units": units.size})

    @classmethod
    def keep(cls, outputs, save):
        """Write the units."""
        if not cls.kept(save):
            outputs.arguments["units"].save(Path(save) / UNITS)

    @staticmethod
    def kept(save):
        """Whether the folder has units."""
        return (Path(save) / UNITS / "units.json").is_file()

    @classmethod
    def encoder(cls, save):
        """Of what reads text: a function of a sentence that gives its labels."""
        return load_units(Path(save) / UNITS).encode
