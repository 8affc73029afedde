"""CTC beam search with a word language model against pyctcdecode and torchaudio, on the same log-probabilities.

    python benchmarks/decoding.py RESULT_DIR MANIFEST|RECIPE [--data-folder DIR] [--kept FOLDER]

All search the log-probabilities of the run on dev and test, with the n-gram model of the run; ours also without it, and
with what pyctcdecode leaves out by default. `--lexicon` adds ours with torchaudio's lexicon, which are the words of the
model. Each one's weights are chosen on dev, from the same grid; the table has its word error rate on test with its 95 %
interval, the paired difference to pyctcdecode's, and the time of one core for a second of audio, medians of passes in
turns. The peers live in an environment of their own, which the first call makes (`--peers`): pyctcdecode wants numpy 1.
"""

import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import sysconfig
import time
import venv
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
from heard import heard, parser  # noqa: E402

from serenanet_modules.analysis.bootstrap import compare, with_interval  # noqa: E402
from serenanet_modules.analysis.scoring import score  # noqa: E402
from serenanet_modules.decoding.arpa import NGram  # noqa: E402
from serenanet_modules.decoding.beam import BeamDecoder  # noqa: E402
from serenanet_modules.decoding.greedy import collapse  # noqa: E402
from serenanet_modules.decoding.lexicon import Lexicon  # noqa: E402
from serenanet_modules.decoding.tuning import LM_WEIGHTS, WORD_SCORES  # noqa: E402

GRID = list(itertools.product(LM_WEIGHTS, WORD_SCORES))
PACKAGES = ("numpy<2", "pyctcdecode==0.5.0", "kenlm==0.3.0", "flashlight-text==0.0.7")
REFERENCE = "pyctcdecode"
STAMP = "packages.txt"  # of a whole environment, which has them
PRUNING = {"beam_threshold": 10.0, "token_threshold": 5.0}  # pyctcdecode's


def main(argv=None):
    o = parse(argv)
    with heard(o) as found:
        ours = Ours(found)
        if o.curve:
            print(thresholds(ours, o))
        elif o.models:
            print(models(ours, o.models))
        elif o.hour:
            print(hour(ours))
        else:
            peers = Peers(environment(Path(o.peers)), found)
            print(table(own(ours, o.lexicon) | {name: peers.named(name) for name in peers.names}, found, o))


def parse(argv):
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--peers", default="/tmp/serenanet-peers", help="environment of the peers")
    options.add_argument("--beams", type=int, nargs="+", default=[8, 32, 100])
    options.add_argument("--lexicon", action="store_true", help="ours with a lexicon, too, as torchaudio's")
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument("--models", nargs="+", metavar="ARPA", help="the errors with each of these alone, and stop")
    options.add_argument("--hour", action="store_true", help="decode an hour in one piece, and stop")
    options.add_argument("--curve", metavar="PNG", help="draw error rate over time on dev, and stop")
    return options.parse_args(argv)


def environment(folder):
    """The interpreter of the peers' environment, which also finds this one's torch and torchaudio.

    It is made where there is none, or one that is not whole or has other packages.
    """
    python, stamp, packages = folder / "bin/python", folder / STAMP, "\n".join(PACKAGES)
    if stamp.is_file() and stamp.read_text() == packages:
        return python
    if folder.exists() and any(folder.iterdir()) and not (folder / "pyvenv.cfg").is_file():
        raise SystemExit(f"--peers {folder}: is a folder of something else; name one that is not there")
    venv.create(folder, with_pip=True, clear=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    (next(folder.glob("lib/python3*/site-packages")) / "project.pth").write_text(sysconfig.get_path("purelib"))
    stamp.write_text(packages)
    return python


def own(ours, lexicon=False):
    """Ours as they stand in the table, by name."""
    found = {
        "ours": ours,
        f"ours, pruned as {REFERENCE}": Ours(ours.heard, **PRUNING),
        "ours without a language model": Ours(ours.heard, lm=None),
    }
    return found | ({"ours, lexicon": Ours(ours.heard, lexicon=lexicon_of(ours))} if lexicon else {})


def lexicon_of(ours):
    """The words of the n-gram model that the units can spell, letter by letter."""
    number = {piece: label for label, piece in enumerate(ours.units.pieces)}
    words = [word for word in NGram(ours.arpa).words if word[0] != "<" and set(word) <= number.keys()]
    return Lexicon({word: [[number[letter] for letter in word]] for word in words})


class Ours:
    """The project's search of what was heard, with its n-gram model or another, and other options of `BeamDecoder`."""

    def __init__(self, found, arpa=None, **options):
        self.heard, self.units, self.utterances = found, found.units, found.utterances
        self.arpa = arpa or found.arpa
        self.options = {"lm": self.arpa} | options
        self.grid = GRID if self.options["lm"] else [(0.0, 0.0)]

    def decode(self, split, beam, lm_weight, word_score):
        """Seconds, and the text of each utterance."""
        weights = {"lm_weight": lm_weight, "word_score": word_score}
        decoder = BeamDecoder(self.units, beam_size=beam, **self.options, **weights)
        decoder.best(self.utterances[split][0][3][0])
        began = time.process_time()
        texts = [" ".join(filter(None, (decoder.best(p).text for p in rows))) for *_, rows in self.utterances[split]]
        return time.process_time() - began, texts


class Peers:
    """A process in the peers' environment, which is asked line by line."""

    names = ("pyctcdecode", "torchaudio")

    def __init__(self, python, found):
        pieces = json.dumps(found.units.pieces)
        command = [python, ROOT / "benchmarks/decoding_peers.py", found.arpa, found.kept, pieces]
        self.process = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=os.environ | {"PYTHONPATH": ""},
        )  # fmt: skip

    def ask(self, *question):
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        while not (line := self.process.stdout.readline()).startswith("["):
            if not line:
                raise SystemExit("the peers' process ended")
        return json.loads(line)

    def named(self, name):
        return _Peer(self, name)


class _Peer:
    grid = GRID

    def __init__(self, peers, name):
        self.peers, self.name = peers, name

    def decode(self, *question):
        """Seconds, and the text of each utterance."""
        return self.peers.ask(self.name, *question)


def judged(utterances, texts):
    return score({u[0]: u[1] for u in utterances}, {u[0]: text for u, text in zip(utterances, texts, strict=True)})


def chosen(contestant, utterances):
    """The weights that are best on dev."""
    return min(
        contestant.grid, key=lambda weights: judged(utterances, contestant.decode("dev", 32, *weights)[1]).total.rate
    )


def thresholds(ours, o):
    """The table of what the search may leave out, with the weights that are best on dev."""
    from decoding_curve import curve

    dev, (lm_weight, word_score) = ours.utterances["dev"], chosen(ours, ours.utterances["dev"])
    usual = {"lm_weight": lm_weight, "word_score": word_score}
    found = curve(
        lambda **limits: BeamDecoder(ours.units, ours.arpa, **limits, **usual),
        dev,
        lambda texts: judged(dev, texts).total,
        o.repeats,
        o.curve,
    )
    return f"{len(dev)} utterances of dev; weights {lm_weight:g}, {word_score:g}\n\n{found}"


def models(ours, arpas):
    """Wrong words of test with each n-gram model, by the weights that are best on dev and by the usual ones."""
    test = ours.utterances["test"]
    words, greedy = sum(len(u[1].split()) for u in test), judged(test, greedy_texts(test, ours.units)).total
    lines = ["| model | words it knows | weights of dev | wrong words | usual weights | wrong words |"]
    lines += ["|---|---|---|---|---|---|"]
    lines.append(f"| none, greedy | | | {greedy.errors} of {words}, {100 * greedy.rate:.1f} % | | |")
    for arpa in map(Path, arpas):
        with_it = Ours(ours.heard, arpa)
        usual = tuple(BeamDecoder(ours.units, arpa).usual.values())
        cells = [arpa.stem, f"{len(NGram(arpa).words) - 3}"]
        for weights in (chosen(with_it, ours.utterances["dev"]), usual):
            counts = judged(test, with_it.decode("test", 32, *weights)[1]).total
            cells += ["{:.2g}, {:g}".format(*weights), f"{counts.errors}, {100 * counts.rate:.1f} %"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def greedy_texts(utterances, units):
    """The text of each utterance by greedy decoding."""
    return [" ".join(units.decode(collapse(row.argmax(1).tolist())[0]) for row in u[3]) for u in utterances]


def hour(ours):
    """What an hour in one piece, the test set again and again, takes beside a minute of it."""
    rows = np.concatenate([row for *_, pieces in ours.utterances["test"] for row in pieces])
    frames = len(rows) / sum(u[2] for u in ours.utterances["test"])  # of a second, silence left out
    decoder = BeamDecoder(ours.units, ours.arpa, beam_size=100, lm_weight=0.5, word_score=0.0)
    lines = ["| piece | ms per second | memory |", "|---|---|---|"]
    for seconds in (60, 600, 3600):
        piece = np.resize(rows, (round(seconds * frames), rows.shape[1]))
        before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        decoder.best(piece)
        taken = time.process_time() - began
        more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        lines.append(f"| {seconds} s | {1000 * taken / seconds:.2f} | +{more / 1024:.0f} MiB |")
    return "\n".join(lines)


def table(contestants, found, o):
    test = found.utterances["test"]
    seconds = sum(u[2] for u in test)
    texts = greedy_texts(test, found.units)
    lines = [
        f"{len(test)} utterances, {seconds:.0f} s; greedy WER {100 * judged(test, texts).total.rate:.1f}", "",
        "| decoder | weights | beam | ms per second | WER (95 %) | difference (95 %) |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    weights = {name: chosen(contestant, found.utterances["dev"]) for name, contestant in contestants.items()}
    for beam in o.beams:
        taken, results = {name: [] for name in contestants}, {}
        for _, name in itertools.product(range(o.repeats), contestants):
            spent, texts = contestants[name].decode("test", beam, *weights[name])
            taken[name].append(1000 * spent / seconds)
            results[name] = judged(test, texts)
        for name, result in results.items():
            d = compare(results[REFERENCE].per_utterance, result.per_utterance)
            bounds = (100 * value for value in (d.difference, d.low, d.high))
            times = f"{statistics.median(taken[name]):.2f} [{min(taken[name]):.2f}..{max(taken[name]):.2f}]"
            rate = "{:.1f} ({:.1f} to {:.1f})".format(100 * result.total.rate, *with_interval(result)["interval_95"])
            cells = ["{:g}, {:g}".format(*weights[name]) if len(contestants[name].grid) > 1 else "", beam, times, rate]
            difference = "{:+.1f} ({:+.1f} to {:+.1f})".format(*bounds) if name != REFERENCE else ""
            lines.append(f"| {name} | {' | '.join(map(str, cells))} | {difference} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
