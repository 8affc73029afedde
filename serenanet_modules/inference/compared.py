"""One model, both ways: what it hears of whole utterances and of streams, how right that is and how late it comes."""

import time
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from serenanet_modules.analysis.bootstrap import with_interval
from serenanet_modules.analysis.scoring import LEVELS, score
from serenanet_modules.data.audio import SAMPLE_RATE, blocks
from serenanet_modules.data.manifest import by_set, read_manifest
from serenanet_modules.data.preparation import prepare
from serenanet_modules.errors import UserError
from serenanet_modules.inference.align import align_text
from serenanet_modules.inference.streaming import Streamer
from serenanet_modules.runtime.bars import Bar
from serenanet_modules.runtime.memory import forget_peak, peak


class Heard(NamedTuple):
    """What was heard of an utterance, and when, in seconds after the beginning of its sound."""

    text: str
    first: float | None  # when the first text was there, be it a letter
    word: float | None  # when the first word was complete: a second one had begun, or all was there
    done: float  # when all was
    computed: float  # seconds that the machine took
    carried: int  # most bytes of a stream's state


class Clock:
    """Time as a listener has it: sound comes at its own pace, and the machine takes the time that it takes."""

    def __init__(self):
        self.now = self.computed = 0.0

    def run(self, there, function, *arguments):
        """What a function gives that is called as soon as so many seconds of sound are there."""
        began = time.perf_counter()
        result = function(*arguments)
        took = time.perf_counter() - began
        self.now, self.computed = max(self.now, there) + took, self.computed + took
        return result


@dataclass(frozen=True)
class Way:
    """Offline, or a stream of one look-ahead.

    Attributes
    ----------
    name : str
        ``offline`` or ``streaming``.
    look_ahead : int or None
        Milliseconds that were asked for.
    delay : float or None
        Milliseconds of sound that a stream waits for.
    hear : callable
        From samples (N,) to `Heard`.
    """

    name: str
    look_ahead: int | None
    delay: float | None
    hear: object


def streams(recognizer, look_aheads=None, chunk_seconds=0.1):
    """The ways of a model: offline, and a stream of each look-ahead, the longest first.

    Parameters
    ----------
    recognizer : Recognizer
    look_aheads : list of int, optional
        Milliseconds; by default all that the model has.
    chunk_seconds : float
        Length of the pieces that streams are fed.

    Returns
    -------
    list of Way

    Raises
    ------
    UserError
        If the model cannot stream, or has no such look-ahead.
    """
    chosen = set(look_aheads or ()) or recognizer.modules["model"].acoustic.look_aheads or [None]
    ways = [Way("offline", None, None, partial(_offline, recognizer))]
    for look_ahead in sorted(chosen, key=lambda ahead: -(ahead or 0)):
        delay = round(1000 * Streamer(recognizer, look_ahead).look_ahead, 1)
        ways.append(Way("streaming", look_ahead, delay, partial(_streamed, recognizer, look_ahead, chunk_seconds)))
    return ways


def compare(recognizer, ways, chosen, folder, progress=False):
    """Hear utterances by each way, one after the other, and measure.

    All decode greedily by the CTC head. Sound is fed as fast as the machine takes it, and time is that of `Clock`.

    Parameters
    ----------
    recognizer : Recognizer
    ways : list of Way
        From `streams`.
    chosen : list of Candidate
        From `data.asked.candidates`.
    folder : Path
        For the prepared data.
    progress : bool
        Whether to show a bar.

    Returns
    -------
    rows : list of dict
        One for each set and way, as `analysis.streaming` shows them.
    summary : dict
        Of the preparation: what was left out, and why.
    """
    prepared = prepare(chosen, folder, recognizer.run.preparation, progress=False)
    rows, sets = [], by_set(read_manifest(prepared.manifest))
    count = sum(map(len, sets.values())) * len(ways)
    with Bar(total=count, desc="comparing", unit="utterance", disable=not progress) as bar:
        for name, utterances in sets.items():
            sounds = {u.id: prepared.folder / u.path for u in utterances}
            ends = {u.id: _first_word_end(recognizer, _samples(sounds[u.id]), u) for u in utterances}
            for way in ways:
                forget_peak(recognizer.device)
                way.hear(_samples(sounds[utterances[0].id]))  # the first pass makes what later ones find made
                heard = {}
                for u in utterances:
                    heard[u.id] = way.hear(_samples(sounds[u.id]))
                    bar.update()
                rows.append({"set": name} | _row(recognizer, way, utterances, heard, ends))
    return rows, prepared.summary


def _samples(path):
    return np.concatenate([*blocks(path)])


def _offline(recognizer, samples):
    decoder, clock = recognizer.run.decoders.greedy(), Clock()

    def hear(pieces):
        output = recognizer.network.output(pieces)
        return [found.text for found in decoder.decode(output, output.lengths)]

    def read():
        most = recognizer.settings["piece_seconds"]
        ((_, texts),) = recognizer.network.read([samples], hear, most, silence=lambda piece: "")
        return decoder.join(texts)

    text = clock.run(len(samples) / SAMPLE_RATE, read)
    there = clock.now if text else None
    return Heard(text, there, there, clock.now, clock.computed, 0)


def _streamed(recognizer, look_ahead, chunk_seconds, samples):
    streamer, clock, carried = Streamer(recognizer, look_ahead), Clock(), 0
    first = word = None
    size = max(1, round(chunk_seconds * SAMPLE_RATE))
    for at in range(0, len(samples), size):
        piece = samples[at : at + size]
        text = clock.run((at + len(piece)) / SAMPLE_RATE, streamer.feed, piece)
        first = clock.now if text and first is None else first
        word = clock.now if word is None and streamer.words > 1 else word
        carried = max(carried, streamer.carried)
    text = clock.run(len(samples) / SAMPLE_RATE, streamer.finish).text
    if text:
        first, word = first or clock.now, word or clock.now
    return Heard(text, first, word, clock.now, clock.computed, carried)


def _first_word_end(recognizer, samples, utterance):
    """Seconds at which the first word that was said ends, by the model's own alignment; None where that fails."""
    try:
        return align_text(recognizer, samples, utterance.text, locale=utterance.locale).words[0].end
    except UserError:
        return None


def _row(recognizer, way, utterances, heard, ends):
    measures = ("PER",) if recognizer.phonemic else ("WER", "CER")
    said = {u.id: u.phonemes if recognizer.phonemic else u.text for u in utterances}
    texts = {key: found.text for key, found in heard.items()}
    rates = {measure: with_interval(score(said, texts, LEVELS[measure])) for measure in measures}
    timed = [(heard[u.id], ends[u.id]) for u in utterances if heard[u.id].text and ends[u.id] is not None]
    audio = sum(u.duration for u in utterances)
    return {
        "way": way.name,
        "look_ahead_ms": way.look_ahead,
        "delay_ms": way.delay,
        **{measure: rate["percent"] for measure, rate in rates.items()},
        "rtf": round(sum(found.computed for found in heard.values()) / audio, 4),
        **_percentiles("first_text", [found.first - end for found, end in timed]),
        **_percentiles("first_word", [found.word - end for found, end in timed]),
        "timed": len(timed),
        **_percentiles("final", [heard[u.id].done - u.duration for u in utterances]),
        "peak_mb": round(peak(recognizer.device) / 1e6, 1),
        "carried_kb": round(max(found.carried for found in heard.values()) / 1e3, 1) if way.delay is not None else None,
        "utterances": len(utterances),
        "audio_seconds": round(audio, 1),
        "intervals_95": {measure: rate["interval_95"] for measure, rate in rates.items()},
    }


def _percentiles(name, seconds):
    """Median and 95th percentile in milliseconds, None of nothing."""
    found = np.percentile(seconds, (50, 95)) if seconds else (None, None)
    return {
        f"{name}_p{p}_ms": None if value is None else round(1000 * float(value), 1)
        for p, value in zip((50, 95), found, strict=True)
    }
