"""Kill a tiny training at random moments, start the same command again, and compare its weights.

    python -m tests.support.kills --kills 200 --out kills.json

Each trial begins with an empty result folder and nothing prepared. A run is killed (SIGKILL) at a moment drawn evenly
from the seconds that an undisturbed one takes, up to four times; then it may finish, and must have the weights and
texts of the undisturbed one.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.support.tiny import PAIRS, Run, command, decoded, distance, make_corpus

OPTIONS = (*PAIRS, "--ckpt_interval_minutes", 0.0005)
KILLS = 4  # in a trial, at most


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("kills.json"))
    options = parser.parse_args(argv)
    random.seed(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        corpus = make_corpus(folder / "corpus")
        reference = start(corpus, folder / "reference").done()
        seconds = time.monotonic() - reference.started
        hit, trials = [], 0
        while len(hit) < options.kills:
            trials += 1
            left = options.kills - len(hit)
            hit += trial(corpus, folder / f"{trials}", reference, min(KILLS, left), seconds)
            print(f"{len(hit)} kills in {trials} trials: {dict(Counter(hit))}", flush=True)
    found = {"kills": len(hit), "trials": trials, "seconds": seconds, "seed": options.seed, "where": Counter(hit)}
    options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print("all finished, with the same weights and texts")


def start(corpus, folder):
    """The command of all trials, with a prepared folder of its own."""
    return Run(command(corpus, folder, *OPTIONS, "--prepared_folder", f"{folder}.prepared"), folder)


def trial(corpus, folder, reference, wanted, longest):
    """Kill ``wanted`` times, or until the run has finished, then let it finish and compare.

    Parameters
    ----------
    corpus, folder : Path
    reference : Run
        Finished, undisturbed.
    wanted : int
    longest : float
        Seconds from start to kill, at most.

    Returns
    -------
    list of str
        What each kill interrupted.
    """
    hit = []
    for _ in range(wanted):
        run = start(corpus, folder)
        run.process.join(random.uniform(0, longest))
        if run.process.exitcode is not None:
            run.done()
            break
        where = doing(folder)
        run.process.kill()
        run.process.join()
        hit.append(where)
    start(corpus, folder).done()
    assert distance(folder, reference.folder) == 0, f"{folder}: other weights after kills in {hit}"
    for split in ("dev", "test"):
        assert decoded(folder, split) == decoded(reference.folder, split), f"{folder}: other texts after {hit}"
    left = [*Path(folder).rglob(".*.part"), *Path(f"{folder}.prepared").rglob(".*.part"), *folder.glob("save/.partial")]
    assert not left, f"left behind: {left}"
    return hit


def doing(folder):
    """What a run is about, by what its folders hold."""
    prepared = Path(f"{folder}.prepared")
    if not prepared.is_dir():
        return "start"
    if not list(prepared.glob("*/manifest.csv")):
        return "preparation"
    if not (folder / "save/units/units.json").is_file():
        return "tokenizer"
    if (folder / "save/.partial").is_dir():
        return "checkpoint"
    return "evaluation" if (folder / "weights.safetensors").is_file() else "training"


if __name__ == "__main__":
    sys.exit(main())
