"""A recogniser scored on any corpus, as its training scored it on its own."""

import csv
from dataclasses import dataclass, replace
from functools import partial

from serenanet_modules.analysis.bootstrap import with_interval
from serenanet_modules.analysis.reliability import judged, reliability, words_said
from serenanet_modules.analysis.scoring import LEVELS, NORMALISED, Score, measures_of, score, write_alignments
from serenanet_modules.analysis.spaces import space_errors
from serenanet_modules.data.manifest import Utterance, by_set, read_manifest
from serenanet_modules.data.preparation import prepare
from serenanet_modules.data.summary import in_words
from serenanet_modules.data.text import normaliser, rewriter, rule_of_others
from serenanet_modules.data.text.digits import digits
from serenanet_modules.inference.hearing import Hearing
from serenanet_modules.inference.numerals import written
from serenanet_modules.runs.decoded import write_decoded
from serenanet_modules.runs.results import confidence_table
from serenanet_modules.runtime.amounts import counted, duration
from serenanet_modules.runtime.files import replacing, write_json


@dataclass(frozen=True)
class SetScore:
    """A set of utterances, what was recognised of them (text and phones by id), and how good that is.

    ``scores`` holds the `Score` of each measure; ``confidence`` says what the confidences are, ``raw`` or
    ``calibrated``, ``decoder`` whose they are, and ``reliability`` how well they say the share of words that are right.
    ``loops`` are the pieces of audio in which a decoder said the same again and again, until it was stopped, ``empty``
    the utterances of which it wrote nothing. ``others`` are n-best lists by id, as of `hearing.Said`, where they were
    wanted, and ``oracle`` is the score of the best text of each.
    """

    utterances: list[Utterance]
    texts: dict[str, str]
    phones: dict[str, str]
    scores: dict[str, Score]
    decoder: str
    confidence: str
    reliability: dict
    loops: int = 0
    empty: int = 0
    oracle: Score | None = None
    others: dict[str, list[tuple[str, float, float]]] | None = None


def evaluate(recognizer, chosen, folder, batch_seconds=120.0, lm=None, progress=False):
    """Prepare, recognise and score utterances.

    Texts are normalised, and audio is decoded and left out, as in a training. Units of phonemes are scored by PER and,
    where a lexicon makes words of them, by WER and CER too. Sets are recognised one after the other, and what was heard
    in a set is kept beside the prepared data: an evaluation that was interrupted goes on with the next set.

    Parameters
    ----------
    recognizer : Recognizer
    chosen : list of Candidate
        From `data.asked.candidates`.
    folder : Path
        For the prepared data and what was heard.
    batch_seconds, lm, progress
        As of `Recognizer.transcribe`.

    Returns
    -------
    sets : dict of str to SetScore
        By the set's name.
    summary : dict
        Of the preparation: what was left out, and why.
    seconds : float
        That recognition took.
    """
    prepared = prepare(chosen, folder, recognizer.run.preparation, progress=False)
    rows, root = read_manifest(prepared.manifest), prepared.folder
    hearing = Hearing(recognizer, lm, root)
    decoder, sets, seconds = recognizer.decoder(lm), {}, 0.0
    style, wishes = recognizer.run.style, recognizer.run.wishes
    measured = measures_of(decoder.writes_words, recognizer.phonemic, both=style.written or wishes.digits)
    as_asked = partial(written, rule=digits(recognizer.run.locale)) if wishes.digits else str
    rows = [replace(u, text=as_asked(u.text)) for u in rows]
    for name, inside in by_set(rows).items():
        heard, took = hearing.of(name, inside, batch_seconds, progress)
        if not recognizer.units.normalised:
            heard = {u.id: heard[u.id].written_by(rule_of_others(u.locale, style)).written_by(as_asked) for u in inside}
        sets[name], seconds = _score(inside, heard, decoder, measured), seconds + took
    return sets, prepared.summary, seconds


def asked(recognizer, lm):
    """What was asked of the decoding, by name: hotwords with what each scores more, and the weights that it had.

    Those of a language model are None without one; a prompt's context, a beam and CTC's weight stand there where the
    model or its decoder has them.
    """
    wishes, decoder = recognizer.run.wishes, recognizer.decoder(lm)
    more = {"context": recognizer.settings["context"]} if "context" in recognizer.settings else {}
    has = {"beam_size": "beam_size", "decoding_ctc_weight": "ctc_weight"}
    more |= {name: getattr(decoder, own) for name, own in has.items() if hasattr(decoder, own)}
    weights = {name: lm and getattr(decoder, name) for name in ("lm_weight", "word_score")}
    return {"nbest": wishes.nbest, "digits": wishes.digits, "hotwords": dict(wishes.hotwords), **weights, **more}


def report(sets, summary, seconds):
    """Yield lines for people: error rates with their intervals, what the errors are, and how good confidences are."""
    spoken = sum(u.duration for s in sets.values() for u in s.utterances)
    count = sum(len(s.utterances) for s in sets.values())
    told = f"recognised in {seconds:.1f} s (RTF {seconds / spoken:.3f})"
    yield f"{counted(count, 'utterance')}, {duration(spoken)}, {told}"
    yield from left_out(summary)
    yield ""
    width = max(6, *(len(name) + 2 for name in sets))
    wide = 2 + max(len(measure) for found in sets.values() for measure in (*found.scores, "measure"))
    yield f"{'set':<{width}}{'measure':<{wide}}{'%':>7}   {'95 % interval':<16}{'S':>7}{'D':>7}{'I':>7}{'N':>9}"
    for name, found in sets.items():
        for measure, result in found.scores.items():
            r = with_interval(result)
            interval = "{:.2f} … {:.2f}".format(*r["interval_95"])
            errors = "".join(f"{r[kind]:>7}" for kind in ("substitutions", "deletions", "insertions"))
            rate = f"{r['percent']:>7.2f}   {interval:<16}"
            yield f"{name:<{width}}{measure:<{wide}}{rate}{errors}{result.total.length:>9}"
    for name, found in sets.items():
        if "WER" in found.scores and (told := _spaces(found)).spaces:
            yield f"{name}: {told}"
        if found.oracle is not None:
            yield f"{name}: oracle WER {100 * found.oracle.total.rate:.2f} (the best text of each list)"
    for name, found in sets.items():
        if found.loops:
            yield f"{name}: {counted(found.loops, 'piece')} went round in a loop; what was said again is left out"
        if found.empty:
            yield f"{name}: nothing was written of {counted(found.empty, 'utterance')}"
    yield ""
    yield confidence_table((name, s.decoder, s.confidence, s.reliability) for name, s in sets.items())


def _spaces(found):
    """The `SpaceErrors` of a set."""
    return space_errors({u.id: u.text for u in found.utterances}, found.texts)


def left_out(summary):
    """Yield a line for each set of which a preparation kept something out."""
    for name, found in summary["splits"].items():
        if found["rejected"]:
            yield f"left out of {name}: {in_words(found['rejected'])}"


def rates(sets):
    """Error rates with intervals and counts, as of `with_interval`, by set and measure."""
    return {name: {m: with_interval(result) for m, result in s.scores.items()} for name, s in sets.items()}


def write(sets, folder, about):
    """Write scores.json, and for each set its hypotheses (decoded_<set>.csv) and alignments (wer_<set>.txt, …).

    Parameters
    ----------
    sets : dict of str to SetScore
    folder : Path
    about : dict
        What else scores.json says.
    """
    results = rates(sets)
    for name, found in sets.items():
        for measure, result in found.scores.items():
            if not measure.startswith("CER"):
                write_alignments(folder / f"{measure.lower().replace(' ', '_')}_{name}.txt", result)
        write_decoded(folder, name, found.utterances, {"hypothesis": found.texts}, phonemic="PER" in found.scores)
        if found.others:
            _write_lists(folder / f"nbest_{name}.csv", found.others)
    sure = {name: {"decoder": s.decoder, s.confidence: s.reliability} for name, s in sets.items()}
    counts = {kind: {name: getattr(s, kind) for name, s in sets.items()} for kind in ("loops", "empty")}
    best = {name: {"oracle": with_interval(s.oracle)} for name, s in sets.items() if s.oracle is not None}
    results = {name: found | best.get(name, {}) for name, found in results.items()}
    write_json(folder / "scores.json", {**about, "results": results, "confidence": sure, **counts})


def _write_lists(file, lists):
    """A line for each text of each utterance's n-best list."""
    with replacing(file) as path, open(path, "w", encoding="utf-8", newline="") as opened:
        rows = csv.writer(opened)
        rows.writerow(["id", "rank", "text", "probability", "score"])
        for key, found in lists.items():
            for rank, (text, probability, score) in enumerate(found, start=1):
                rows.writerow([key, rank, text, f"{probability:.4f}", f"{score:.4f}"])


def _score(rows, heard, decoder, measures):
    rewrite = {locale: rewriter(locale) for locale in {u.locale for u in rows}}
    texts = {u.id: rewrite[u.locale](heard[u.id].text) for u in rows}
    phones = {u.id: heard[u.id].phones for u in rows}
    as_written, spoken = ({u.id: u.text for u in rows}, texts), ({u.id: u.phonemes for u in rows}, phones)
    plain = [{u.id: normaliser(u.locale)(found[u.id]) for u in rows} for found in as_written]
    pairs = {"PER": spoken} | {m: plain if m.endswith(NORMALISED) else as_written for m in measures if m != "PER"}
    scores = {m: score(*pairs[m], LEVELS[m]) for m in measures}
    loops, empty, lists = sum(heard[u.id].loops for u in rows), sum(not heard[u.id].text for u in rows), None
    if decoder.writes_words and any(heard[u.id].others for u in rows):
        lists = {u.id: [(rewrite[u.locale](text), *told) for text, *told in heard[u.id].others] for u in rows}
    oracle = lists and _oracle(rows, {key: [text for text, *_ in found] for key, found in lists.items()})
    sure = _reliability(rows, heard, decoder)
    return SetScore(rows, texts, phones, scores, decoder.name, *sure, loops, empty, oracle, lists)


def _oracle(rows, lists):
    """The `Score` of the text of each list that has the fewest wrong words."""
    most, best = max(map(len, lists.values())), {}
    references = {u.id: u.text for u in rows}
    for k in range(most):
        texts = {key: (found or [""])[min(k, len(found) - 1)] for key, found in lists.items()}
        for key, counts in score(references, texts).per_utterance.items():
            if key not in best or counts.errors < best[key][0]:
                best[key] = counts.errors, texts[key]
    return score(references, {key: text for key, (_, text) in best.items()})


def _reliability(rows, heard, decoder):
    """What the words' confidences are, and how well they say the share of words that are right."""
    words = [heard[u.id].words for u in rows]
    right = judged([words_said(u, decoder.writes_words) for u in rows], [[text for text, _ in said] for said in words])
    kind = "calibrated" if heard[rows[0].id].calibrated else "raw"
    return kind, reliability([confidence for said in words for _, confidence in said], sum(right, []))
