"""What a recogniser hears in the same recordings at other levels and with an offset.

    python benchmarks/level.py RESULT_DIR MANIFEST|RECIPE [--data-folder DIR] [--split NAME] [--ways NAME …]
                               [--utterances N] [--language CODE]

RESULT_DIR may also be a Whisper as transformers write it, of which `--language` says what it hears. Each recording is
scaled and shifted, as it is (float samples, which nothing clips) and rounded to 16 bits, and transcribed greedily; a
model that streams also hears it in chunks of 0.2 s. The table has word error rates and, paired on the same utterances,
how far they are from those of the recordings as they are.
"""

import argparse
import os
import sys
import tempfile
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from serenanet_modules.analysis.bootstrap import compare  # noqa: E402
from serenanet_modules.analysis.scoring import score  # noqa: E402
from serenanet_modules.data.asked import candidates  # noqa: E402
from serenanet_modules.data.audio import SAMPLE_RATE, load  # noqa: E402
from serenanet_modules.data.manifest import read_manifest  # noqa: E402
from serenanet_modules.data.preparation import Settings, prepare  # noqa: E402
from serenanet_modules.errors import UserError  # noqa: E402
from serenanet_modules.inference.recognizer import Recognizer  # noqa: E402
from serenanet_modules.inference.streaming import Streamer  # noqa: E402

CHANGES = [(0, 0.0), (12, 0.0), (-12, 0.0), (-30, 0.0), (-40, 0.0), (0, 0.1), (0, -0.1), (-30, 0.1)]  # dB, offset
WAYS = ("offline", "16 bits", "streamed")
CHUNK = SAMPLE_RATE // 5


def main(argv=None):
    options = parse(argv)
    recognizer = Recognizer.from_folder(options.folder, language=options.language)
    texts, recordings = spoken(options, recognizer, options.utterances)
    ways = {
        "offline": partial(offline, recognizer),
        "16 bits": lambda sounds: offline(recognizer, map(rounded, sounds)),
    }
    try:
        Streamer(recognizer)
        ways["streamed"] = partial(streamed, recognizer)
    except UserError:
        pass
    print(table(texts, recordings, {name: way for name, way in ways.items() if name in options.ways}))


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="a finished run of a recogniser")
    parser.add_argument("data", help="as of serenanet evaluate")
    parser.add_argument("--data-folder")
    parser.add_argument("--split", help="a set (test)")
    parser.add_argument("--language", metavar="CODE", help="of a Whisper")
    parser.add_argument("--utterances", type=int, metavar="N", help="every so many-th, so that there are about N (all)")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS, help="how it hears (all that it can)")
    return parser.parse_args(argv)


def spoken(options, recognizer, utterances=None):
    """Texts and recordings (N,) of the data asked for, by utterance; perhaps of about so many of them."""
    chosen = candidates(options.data, recognizer.settings["locale"], options.data_folder, options.split)
    with tempfile.TemporaryDirectory() as work:
        prepared = prepare(chosen, Path(work), Settings(), progress=False)
        rows = list(read_manifest(prepared.manifest))
        rows = rows[:: max(1, len(rows) // utterances)] if utterances else rows
        return {u.id: u.text for u in rows}, {u.id: load(prepared.folder / u.path) for u in rows}


def offline(recognizer, sounds):
    """The text of each sound (N,)."""
    return [transcript.text for transcript in recognizer.transcribe(sounds)]


def streamed(recognizer, sounds):
    """The same, heard in chunks."""
    return [_streamed(Streamer(recognizer), sound) for sound in sounds]


def _streamed(streamer, sound):
    for at in range(0, len(sound), CHUNK):
        streamer.feed(sound[at : at + CHUNK])
    return streamer.finish().text


def rounded(sound):
    """A sound (N,) as a file of 16 bits would hold it if it could hold what is louder than 1."""
    return np.round(sound * 32768).astype(np.float32) / 32768


def changed(sound, decibel, offset):
    """A sound (N,) at another level, and shifted."""
    return (10 ** (decibel / 20) * sound + offset).astype(np.float32)


def table(texts, recordings, ways, changes=CHANGES):
    """Markdown: a row for each change, of which the first is none; two columns for each way to hear.

    Parameters
    ----------
    texts : dict of str to str
        What is said, by utterance.
    recordings : dict of str to array
        (N,) float at 16 kHz.
    ways : dict of str to callable
        From sounds to their texts.
    changes : list of (float, float)
        dB and offset.
    """
    lines = [
        "| level | offset |" + "".join(f" WER, {way} | difference |" for way in ways),
        "|---" * (2 + 2 * len(ways)) + "|",
    ]
    first = {}
    for decibel, offset in changes:
        cells = [f"{decibel:+d} dB", f"{offset:+.1f}"]
        for way, hear in ways.items():
            found = hear(changed(sound, decibel, offset) for sound in recordings.values())
            result = score(texts, dict(zip(recordings, found, strict=True)))
            difference = compare(first.setdefault(way, result).per_utterance, result.per_utterance)
            bounds = (100 * value for value in (difference.difference, difference.low, difference.high))
            cells += [f"{100 * result.total.rate:.1f}", "{:+.1f} ({:+.1f} to {:+.1f})".format(*bounds)]
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], file=sys.stderr, flush=True)
    return "\n".join(lines)


if __name__ == "__main__":
    main()
