"""The weights of a language model that was not the training's: those that are best on dev, found once."""

import json
import logging
import os
from dataclasses import replace
from hashlib import sha256 as sha
from pathlib import Path

from serenanet_modules.decoding.beam import BeamDecoder
from serenanet_modules.decoding.tuning import (
    JOINT_LM_WEIGHTS,
    JOINT_WORD_SCORES,
    LM_WEIGHTS,
    WORD_SCORES,
    tune,
    tune_search,
)
from serenanet_modules.runs.choice import LM, lm_sha256
from serenanet_modules.runs.dev import FILE, read_dev
from serenanet_modules.runs.whole import check_files
from serenanet_modules.runtime.files import sha256, write_json
from serenanet_modules.runtime.threads import available_cores

logger = logging.getLogger(__name__)

GRID = {  # of the CTC beam search, and of a joint one
    "lm_weight": (LM_WEIGHTS, JOINT_LM_WEIGHTS),
    "word_score": (WORD_SCORES, JOINT_WORD_SCORES),
}
BATCH_SECONDS = 60.0


def weighed(run, decoder, lm, progress=False):
    """A decoder with the weights that `Wishes` names, or else those that are best on dev for its language model.

    Where the run keeps no dev, they are the decoder's ``usual`` ones.

    Weights of a model that the training had are those that it chose. Others are looked up in the user's cache by hashes
    of the language model, of what this recogniser hears in dev and of the search.

    Parameters
    ----------
    run : OpenRun
    decoder : Decoder
        That of the run for ``lm``.
    lm : path or "auto" or None
    progress : bool
        Whether to show a bar.

    Returns
    -------
    Decoder

    Raises
    ------
    UserError
        For a folder whose dev cannot be read.
    """
    asked = {name: getattr(run.wishes, name) for name in GRID}
    given = {name: value for name, value in asked.items() if value is not None}
    if lm is None:
        return decoder
    if not is_own(run, lm) and len(given) < len(asked):
        given = _on_dev(run, decoder, Path(lm), given, progress) | given
    usual = {name: getattr(decoder, name) for name in asked}
    return decoder.with_weights(**usual | given) if given else decoder


def is_own(run, lm):
    """Whether a language model is one that the training had, and chose weights for."""
    file = run.folder / LM
    own = lm == "auto" or str(lm) in (run.settings["lm"], run.settings.get("neural_lm"))
    return own or (file.is_file() and Path(lm).is_file() and file.samefile(lm))


def _on_dev(run, decoder, lm, given, progress):
    check_files(run.folder, FILE)
    dev = read_dev(run.folder)
    if not dev:
        logger.warning(
            "%s: holds no %s, so the weights of %s cannot be tuned on dev; %s are estimated from it (set others with "
            "--lm-weight and --word-score)",
            *(run.folder, FILE, lm, ", ".join(f"{name} {weight:.2g}" for name, weight in decoder.usual.items())),
        )
        return decoder.usual
    if isinstance(decoder, BeamDecoder):
        decoder = replace(decoder, hotwords=None)  # the weights are the model's, whatever words are expected
    told = [sha256(run.folder / FILE), lm_sha256(run, lm), decoder.name, decoder.beam_size]
    key = sha(repr([*told, given]).encode()).hexdigest()
    if key not in run.kept:
        run.kept[key] = _cached(key, lambda: _tuned(decoder, dev, given, progress))
    return run.kept[key]


def _tuned(decoder, dev, given, progress):
    from serenanet_modules.analysis.scoring import score  # which few uses need

    rows = [row for known in dev for row in known.rows]
    references = [known.text for known in dev]

    def error(texts):
        found = iter(texts)
        said = [decoder.join(next(found) for _ in known.rows) for known in dev]
        return score(references, said).total.rate

    joint = not isinstance(decoder, BeamDecoder)
    grid = {name: [given[name]] if name in given else tried[joint] for name, tried in GRID.items()}
    title = "tuning the language model's weights" if progress else None
    if not joint:
        log_probs = [row.log_probs for row in rows]
        tuning = tune(decoder, log_probs, error, *grid.values(), jobs=available_cores(), title=title)
        return {name: getattr(tuning, name) for name in GRID}
    return tune_search(decoder, rows, grid, error, BATCH_SECONDS, title)


def _cached(key, find):
    """What was found before, by this user on this machine; where nothing can be kept it is found anew."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "serenanet"
    file = folder / f"weights-{key[:16]}.json"
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        return {name: float(kept[name]) for name in GRID}
    except (OSError, ValueError, LookupError, TypeError):
        found = find()
    try:
        write_json(file, found)
    except OSError as error:
        logger.warning("%s: cannot be written (%s); the weights will be tuned again next time", file, error)
    return found
