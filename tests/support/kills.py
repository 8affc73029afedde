"""Kill a tiny run in every phase, start the same command again, and compare all that it leaves.

    python -m tests.support.kills --kills 200 --seed 1 --out kills.jsonl

Each trial begins with an empty result folder and nothing prepared. A run is killed (SIGKILL) up to five times, in
phases drawn at random, at a moment drawn evenly from the seconds that an undisturbed run spends in that phase; then it
may finish, and must leave what the undisturbed one leaves. Each trial is a line of ``--out``; the same command goes on
where it was stopped.
"""

import argparse
import json
import random
import re
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

from tests.support.hooks import begun, phases
from tests.support.tiny import PAIRS, Run, command, make_corpus, same

OPTIONS = (*PAIRS, "--ckpt_interval_minutes", 0.0005, "--beam_size", 2)
PHASES = ("preparation", "set-up", "training", "averaging", "evaluation")
WEIGHTS = (1, 1, 1, 3, 1)  # averaging is over in a moment, and often missed
KILLS = 5  # in a trial, at most
COMPARED = r"(\.csv|\.tsv|\.flac|\.arpa|wer_[^/]*\.txt)$"


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("kills.jsonl"))
    options = parser.parse_args(argv)
    done = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.exists() else []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        corpus = make_corpus(folder / "corpus")
        reference = start(corpus, folder / "reference").done()
        while (left := options.kills - sum(len(row["killed"]) for row in done)) > 0:
            done.append(_tried(corpus, folder / f"{len(done) + 1}", reference, options.seed, min(left, KILLS)))
            with open(options.out, "a", encoding="utf-8") as file:
                file.write(json.dumps(done[-1]) + "\n")
            print(table(done), flush=True)
    return int(any(row["wrong"] for row in done))


def _tried(corpus, folder, reference, seed, wanted):
    """A trial as a line of the file."""
    draw, killed, wrong = random.Random(f"{seed} {folder.name}"), [], None
    plan = sorted(draw.choices(PHASES, weights=WEIGHTS, k=wanted), key=PHASES.index)
    try:
        for where in trial(corpus, folder, reference, plan, draw):
            killed.append(where)
    except AssertionError:
        wrong = traceback.format_exc()[-500:]
    return {"trial": folder.name, "killed": killed, "wrong": wrong}


def table(done):
    """Kills by phase, for people."""
    killed = Counter(where for row in done for where in row["killed"])
    rows = [f"{where:<12}{killed[where]:>6}" for where in ("start", *PHASES, "report")]
    wrong = [f"trial {row['trial']}: {row['wrong']}" for row in done if row["wrong"]]
    return "\n".join([*rows, f"{killed.total()} kills in {len(done)} trials, {len(wrong)} went wrong", *wrong])


def start(corpus, folder):
    """The command of all trials, with a prepared folder of its own."""
    Path(f"{folder}.phases").unlink(missing_ok=True)
    arguments = command(corpus, folder, *OPTIONS, "--prepared_folder", f"{folder}.prepared")
    return Run(arguments, folder, [phases])


def trial(corpus, folder, reference, plan, draw):
    """Kill a run in each phase of ``plan``, then let it finish and compare.

    Parameters
    ----------
    corpus, folder : Path
    reference : Run
        Finished, undisturbed, of `start`.
    plan : list of str
        Of `PHASES`, in that order.
    draw : random.Random

    Yields
    ------
    str
        The phase that each kill interrupted: the one of the plan, or one after it where that went faster than expected.
    """
    whole = begun(reference.folder)
    ends = dict(zip(whole, [*list(whole.values())[1:], reference.ended], strict=True))
    for phase in plan:
        run = start(corpus, folder)
        while run.process.is_alive() and phase not in begun(folder):
            time.sleep(0.001)
        run.process.join(draw.uniform(0, ends[phase] - whole[phase]))
        run.process.kill()
        if run.wait() != -signal.SIGKILL:
            run.done()
            continue
        yield list(begun(folder))[-1]
    assert same(start(corpus, folder).done(), reference)
    assert left(folder) == left(reference.folder)


def left(folder):
    """How many files of which names there are, and the texts, tables and audio in them; logs and clocks apart."""
    files = [path for place in (folder, f"{folder}.prepared") for path in Path(place).rglob("*") if path.is_file()]
    names = {path: re.sub(r"CKPT\+[^/]*", "CKPT", str(path).removeprefix(str(folder))) for path in files}
    names = {path: name for path, name in names.items() if "tensorboard" not in name}
    contents = {name: path.read_bytes() for path, name in names.items() if re.search(COMPARED, name)}
    return Counter(names.values()), contents


if __name__ == "__main__":
    sys.exit(main())
