"""A finished recogniser's folder as a model on the Hugging Face hub."""

import io
import json
import re
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from serenanet_modules.errors import UserError
from serenanet_modules.runs import hub
from serenanet_modules.runs.dev import FILE as DEV
from serenanet_modules.runs.model_card import CARD, UNKNOWN, card, is_ours
from serenanet_modules.runs.opening import NEEDED
from serenanet_modules.runs.whole import FILE as SUMS
from serenanet_modules.runs.whole import MODEL, check_files

LICENCE = re.compile(r"[a-z0-9][a-z0-9.-]*")
FRONT = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)


def publish(folder, name, licence=None, private=False):
    """Upload what makes a model, and a card that says how to use it there.

    Parameters
    ----------
    folder : Path
        A result folder.
    name : str
        ``owner/name``.
    licence : str, optional
        As the hub calls it, where README.md does not say one.
    private : bool

    Returns
    -------
    str
        Where it is to be seen.

    Raises
    ------
    UserError
        For a folder that lacks something, a licence that nobody states, and as of `hub.push`.
    """
    folder = Path(folder)
    if missing := [name for name in (*NEEDED, "result.json") if not (folder / name).is_file()]:
        raise UserError(f"{folder}: {missing[0]} is missing; give the result folder of a finished recogniser")
    check_files(folder, *MODEL)
    files = {path: folder / path for path in (*MODEL, SUMS) if path != DEV and (folder / path).is_file()}
    return hub.push(name, {**files, CARD: _card(folder, name, licence)}, private)


def _card(folder, name, licence):
    """The card to be uploaded: that of the folder where somebody has changed it, else one for this name."""
    if licence is not None and not LICENCE.fullmatch(licence):
        raise UserError(f"--license {licence}: give a licence by the hub's name, such as cc-by-4.0 or mit")
    if is_ours(folder):
        if licence is None:
            raise UserError(
                f"{folder}: say with --license under which licence the model may be used, such as cc-by-4.0"
            )
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        return card(result, name, licence).encode()
    text = (folder / CARD).read_bytes()
    stated = _stated(text.decode("utf-8", "replace"))
    if licence not in (None, stated):
        raise UserError(f"{folder / CARD}: was edited, and says the licence {stated}; state {licence} there")
    if stated in (None, UNKNOWN):
        raise UserError(f"{folder / CARD}: states no licence; put it there")
    return text


def _stated(text):
    """The licence that a card states, or None."""
    try:
        front = YAML(typ="safe").load(io.StringIO(found[1])) if (found := FRONT.match(text)) else None
    except YAMLError:
        return None
    return front.get("license") if isinstance(front, dict) else None
