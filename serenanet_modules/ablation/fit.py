"""Whether a variant changes anything that the model has."""

from serenanet_modules.config.keys import KEYS, PART
from serenanet_modules.config.nodes import tag_of
from serenanet_modules.config.reading import read_yaml
from serenanet_modules.errors import UserError

NAMES = ("experiment", "extends")  # keys that change no training


def check_fit(variant, full):
    """Refuse a variant whose every change is to a part that the model lacks.

    Parameters
    ----------
    variant : Variant
    full : mapping
        The full model's merged keys.

    Raises
    ------
    UserError
    """
    changes = _changes(variant)
    lacking = {_lacking(key, value, changes, full) for key, value in changes.items()}
    if changes and None not in lacking:
        parts = " and ".join(f"'{part}'" for part in sorted(lacking))
        raise UserError(f"{variant.name} changes nothing, because {parts} is null in the model")


def _changes(variant):
    """{top-level key: value} of a variant's own file, or of its values."""
    if variant.values:
        return {key.partition(".")[0]: {} for key, _ in variant.values}
    return {key: value for key, value in read_yaml(variant.files[-1]).items() if key not in NAMES}


def _lacking(key, value, changes, full):
    """The part without which a change has no effect, where the full model and the variant lack it; else None."""
    known = KEYS.get(key)
    if known is None:
        return None
    if known.kind == PART and full.get(key) is None and not tag_of(value) and isinstance(value, dict | None):
        return key
    part = known.part
    return part if part and full.get(part) is None and not changes.get(part) else None
