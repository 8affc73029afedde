"""Which decoder a finished recogniser is used with, and the lexicon and language models that it takes."""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from serenanet_modules.decoding.arpa import NGram
from serenanet_modules.decoding.lexicon import Lexicon
from serenanet_modules.errors import UserError
from serenanet_modules.runs.language_model import NeuralLMRun
from serenanet_modules.runs.whole import WEIGHTS, check_files
from serenanet_modules.runtime.files import sha256

LM, SPELLINGS = "save/lm.arpa", "save/lexicon.tsv"


def decoder_for(run, lm):
    """`OpenRun.decoder`."""
    model, hotwords = run.modules["model"], run.wishes.hotwords
    if model.llm is not None:
        if lm is not None:
            raise UserError(f"{run.folder}: a speech LLM writes by its own language model; leave out --lm")
        return run.decoders.prompted()
    if hotwords and not model.scorings:
        raise UserError(f"{run.folder}: has no CTC head, which hotwords need; leave out --hotwords")
    return _joint(run, lm) if model.attention is not None and not hotwords else _ctc(run, lm)


def lm_sha256(run, lm):
    """SHA-256 of what `decoder_for` reads for ``lm``: of an ARPA file, or a neural model's weights; None for None."""
    if lm is None:
        return None
    path = run.folder / LM if lm == "auto" else Path(lm)
    return sha256(path / WEIGHTS if path.is_dir() else path)


def _ctc(run, lm):
    lexicon = _lexicon(run) if run.phonemic else None
    decoders = replace(run.decoders, lexicon=lexicon)
    if lm is None:
        searched = lexicon is not None or run.wishes.hotwords or run.wishes.nbest > 1
        return decoders.beam() if searched else decoders.greedy()
    if Path(lm).is_dir():
        raise UserError(f"{lm}: is a folder; the CTC beam search takes a word n-gram model; give an ARPA file")
    if run.phonemic and lexicon is None:
        raise UserError(
            f"{run.folder}: {SPELLINGS} is missing, which --lm needs; copy the whole folder again, or leave out --lm"
        )
    path = _arpa(run, lm)
    if path not in run.kept:
        run.kept[path] = NGram(path)
    return decoders.beam(run.kept[path])


def _joint(run, lm):
    if lm is None:
        return run.decoders.joint() if run.modules["model"].scorings else run.decoders.alone()
    if lm == "auto":
        _check_inside(run, run.settings["neural_lm"])
    elif Path(lm).is_dir():
        device = next(run.modules.parameters()).device
        return run.decoders.joint(label_lm=NeuralLMRun(Path(lm)).model(run.units).to(device))
    if run.phonemic:
        raise UserError(
            f"{run.folder}: the units are phonemes, which a language model of words cannot score; leave out --lm"
        )
    return run.decoders.joint(ngram=_arpa(run, lm))


def _arpa(run, lm):
    """The file that ``lm`` means: a path, or "auto" for the folder's own."""
    if lm != "auto":
        return Path(lm)
    path = run.folder / LM
    _check_inside(run, run.settings["lm"])
    if run.settings["lm"] is None or not path.is_file():
        raise UserError(f"{run.folder}: holds no language model; make one with `serenanet lm` and name its file")
    check_files(run.folder, LM)
    return path


def _check_inside(run, trained_with):
    """Refuse to follow a path to a language model that stands in a folder which may be anybody's."""
    if trained_with not in (None, "auto"):
        raise UserError(
            f"--lm auto: {run.folder} does not contain its language model, {trained_with}; give its path with --lm PATH"
        )


def _lexicon(run):
    """The training words and their spellings, or None where the folder lacks them."""
    path, spellings = run.folder / SPELLINGS, defaultdict(list)
    if not path.is_file():
        return None
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            word, _, phones = line.partition("\t")
            spellings[word].append(run.units.encode(phones))
        return Lexicon(spellings)
    except (UserError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be used: {error}") from None
