"""Weights of the speaker encoder, out of the package that carries them; nothing of that package is run."""

import importlib.util
import io
import os
import zipfile
import zlib
from pathlib import Path

from serenanet_modules.errors import UserError
from serenanet_modules.lobes.speaker_encoder import SpeakerEncoder
from serenanet_modules.runs.pickled import in_a_line, load_pickled, wrong_weight

PACKAGE, FILE = "resemblyzer", "pretrained.pt"
VARIABLE = "SERENANET_SPEAKER_ENCODER"
STATE = "model_state"
MOST_BYTES = 2**26
UNZIPPABLE = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, RuntimeError)  # what a wheel may raise


def speaker_encoder(path=None):
    """A `SpeakerEncoder` with public weights, in evaluation mode.

    Parameters
    ----------
    path : str or Path, optional
        Resemblyzer's ``pretrained.pt``, or a wheel of it; by default what the environment variable
        ``SERENANET_SPEAKER_ENCODER`` names, or else the file in the package that is installed.

    Raises
    ------
    UserError
        Where there is none, and for a file that holds something else.
    """
    path = Path(path or os.environ.get(VARIABLE) or _installed())
    weights = _tensors(path)
    encoder = SpeakerEncoder()
    wanted = {name: tuple(value.shape) for name, value in encoder.state_dict().items()}
    found = {name: weights.get(name) for name in wanted}
    if wrong := [name for name, shape in wanted.items() if not _fits(found[name], shape)]:
        raise UserError(f"{path}: are no weights of the speaker encoder ({wrong[0]} should be {wanted[wrong[0]]})")
    encoder.load_state_dict(found)
    return encoder.eval()


def _fits(value, shape):
    return wrong_weight(value) is None and tuple(value.shape) == shape


def _installed():
    spec = importlib.util.find_spec(PACKAGE)  # which looks for the package and runs nothing of it
    places = (spec.submodule_search_locations or []) if spec else []
    found = next((path for place in places if (path := Path(place) / FILE).is_file()), None)
    if found is None:
        raise UserError(
            "--speakers needs the weights of a speaker encoder: pip install --no-deps resemblyzer, or name its "
            f"wheel or its {FILE} by the environment variable {VARIABLE}"
        )
    return found


def _tensors(path):
    """Tensors by name, read as plain data."""
    try:
        data = _bytes(path)
        if len(data) > MOST_BYTES:
            raise UserError(f"{path}: is larger than any weights of the speaker encoder")
        found = load_pickled(io.BytesIO(data))
    except (OSError, ValueError, *UNZIPPABLE) as error:
        raise UserError(f"{path}: cannot be read as weights of the speaker encoder ({in_a_line(error)})") from None
    state = found.get(STATE) if isinstance(found, dict) else None
    return state if isinstance(state, dict) else {}


def _bytes(path):
    """The file, or in a wheel the weights' file, one byte more than is allowed at most."""
    if path.suffix.lower() != ".whl":
        with open(path, "rb") as file:
            return file.read(MOST_BYTES + 1)
    with zipfile.ZipFile(path) as wheel, wheel.open(f"{PACKAGE}/{FILE}") as file:
        return file.read(MOST_BYTES + 1)
