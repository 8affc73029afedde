"""The decoders that a result folder can use, behind one interface."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from serenanet_modules.decoding.attention import AttentionBeam
from serenanet_modules.decoding.beam import BeamDecoder
from serenanet_modules.decoding.greedy import greedy
from serenanet_modules.errors import UserError
from serenanet_modules.runs.language_model import NeuralLMRun


class Hypothesis(NamedTuple):
    """Decoded labels, the text that they stand for, and its words where a lexicon spells them with the labels."""

    units: list[int]
    text: str
    words: list[str] | None = None


@dataclass(frozen=True)
class Decoder:
    """What `decoder_of` chose.

    Attributes
    ----------
    decode : callable
        (`CTCOutput`, log-probabilities (B, T, V) of the scoring) -> a `Hypothesis` for each utterance.
    gap : str
        Stands between the texts of two pieces of audio.
    """

    decode: Callable[[Any, Any], list[Hypothesis]]
    gap: str

    def __call__(self, output, log_probs):
        return self.decode(output, log_probs)


def decoder_of(run, lm=None):
    """The decoder for an `OpenRun`, as `Recognizer.transcribe` describes it.

    Parameters
    ----------
    run : OpenRun
    lm : path or "auto", optional

    Raises
    ------
    UserError
        For a language model that cannot be used.
    """
    gap = " " if run.writes_words else " | "
    if run.has_label_decoder:
        beam = _attention_beam(run, lm)
        return Decoder(lambda output, log_probs: _found(beam(output.hidden, log_probs, output.lengths)), gap)
    lexicon = run.lexicon() if run.phonemic else None
    if lm is None and lexicon is None:
        return Decoder(lambda output, log_probs: _greedy(run.units, log_probs, output.lengths), gap)
    beam = _ctc_beam(run, lm, lexicon)
    spelled = lexicon is not None
    return Decoder(lambda output, log_probs: _found(beam(log_probs, output.lengths.cpu()), spelled), gap)


def _greedy(units, log_probs, lengths):
    return [Hypothesis(labels, units.decode(labels)) for labels in greedy(log_probs, lengths)]


def _found(hypotheses, spelled=False):
    return [Hypothesis(h.units, h.text, h.text.split() if spelled else None) for h in hypotheses]


def _ctc_beam(run, lm, lexicon):
    options = {"lexicon": lexicon, "beam_size": run.settings["beam_size"] or BeamDecoder.beam_size}
    if lm is not None:
        if Path(lm).is_dir():
            raise UserError(f"{lm}: is a folder; a model without an attention decoder takes a word n-gram model (ARPA)")
        if run.phonemic and lexicon is None:
            raise UserError(f"{run.folder}: save/lexicon.tsv is missing, which a language model of words needs")
        tuned = {name: w for name, w in run.settings["decoding"].items() if name in ("lm_weight", "word_score")}
        options |= {"lm": run.lm_path(lm), **tuned}
    return BeamDecoder(run.units, **options)


def _attention_beam(run, lm):
    """The label decoder's search, jointly with CTC."""
    s, model, options, way = run.settings, run.modules["model"], {}, "attention/beam"
    if neural := run.neural_lm(lm):
        device = next(model.parameters()).device
        options["label_lm"], way = NeuralLMRun(neural).model(run.units).to(device), f"{way}+neural-lm"
    elif lm is not None:
        if run.phonemic:
            raise UserError(f"{run.folder}: the units are phonemes, which a language model of words cannot score")
        options["ngram"], way = run.lm_path(lm), f"{way}+lm"
    options |= {**s["decoding"].get("attention/beam", {}), **s["decoding"].get(way, {})}
    size = s["attention_beam_size"] or AttentionBeam.beam_size
    return AttentionBeam(model.attention, run.units, size, length_normalisation=s["length_normalisation"], **options)
