"""What a program needs to know of a model: its tokens and its metadata."""

from serenanet_modules import __version__
from serenanet_modules.config.foreign import Document
from serenanet_modules.data.audio import SAMPLE_RATE
from serenanet_modules.runtime.files import write_json, write_text


def metadata(opened, folder):
    """Facts by name, plain values.

    Parameters
    ----------
    opened : OpenRun
    folder : Path
        Its result folder.
    """
    model, units = opened.modules["model"], opened.units
    plain = Document.of_run(folder).plain()
    frame_seconds = model.acoustic.frame_seconds  # chunks have no common length
    return {
        "model_type": "ctc",
        "name": plain["experiment"],
        "version": __version__,
        "language": plain["locale"],
        "sample_rate": SAMPLE_RATE,
        "units": units.kind,
        "word_boundary": units.boundary,
        "n_units": units.size,
        "blank_id": units.blank_id,
        "most_seconds": model.acoustic.most_seconds,  # of a file's audio; null where any length will do
        "frame_seconds": None if frame_seconds is None else round(frame_seconds, 4),
        "scoring": opened.decoders.scoring,
    }


def sidecars(model_path):
    """The files that `write_sidecars` writes."""
    return model_path.with_name("tokens.txt"), model_path.with_suffix(".json")


def write_sidecars(model_path, units, facts):
    """Write ``tokens.txt`` (``symbol id`` lines, as icefall and sherpa have it) and ``<model>.json`` beside a model."""
    tokens, about = sidecars(model_path)
    write_text(tokens, "".join(f"{piece} {i}\n" for i, piece in enumerate(units.pieces)))
    write_json(about, facts)
    return tokens, about
