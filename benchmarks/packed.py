"""What whole trainings take from a file a clip and from tar archives (``--pack``), in turns.

    python benchmarks/packed.py --work results/benchmarks/packed

Trains a small model on the embedded corpus, prepared before, as often as there are rounds; every second round begins
with archives. Each training is a process of its own, from its start to its error rates.
"""

import argparse
import resource
import statistics
import time
from pathlib import Path

from trainings import CORPUS, trained

WAYS = {"a file a clip": [], "archives": ["--pack"]}


def main(argv=None):
    options = parse(argv)
    for way in WAYS:  # prepares
        training(options, way, "first")
    found = {way: [] for way in WAYS}
    for number in range(options.rounds):
        for way in list(WAYS)[:: 1 if number % 2 == 0 else -1]:
            found[way].append(training(options, way, number))
    print(table(found))


def parse(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for the runs and the prepared corpus")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", type=Path, default=CORPUS)
    parser.add_argument("--more", nargs=argparse.REMAINDER, default=[], help="further hyper-parameters")
    return parser.parse_args(argv)


def training(options, way, number):
    """Seconds of the processor and by the clock, those of its training alone, and the hash of its weights."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    folder = options.work / f"{way.replace(' ', '_')}-{number}"
    words = ["--data_folder", options.data, "--prepared_folder", options.work / "prepared", "--number_of_epochs", 1]
    result = trained(folder, *words, *WAYS[way], *options.more)
    clock, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    own = result["seconds"]["training_cpu"]
    return {"cpu": cpu, "clock": clock, "training": own, "weights": result["history"][-1]["weights"]}


def table(found):
    """A row for each way: medians, and ratios to the first way's training of the same round."""
    heads = ("from", "CPU s", "ratio to files, each round", "median", "wall time, s", "median ratio to files")
    lines = ["| " + " | ".join([*heads, "CPU s of the training alone"]) + " |", "|---|---:|---|---:|---:|---:|---:|"]
    first = next(iter(found.values()))
    for way, runs in found.items():
        cpu, clock = (
            [run[key] / other[key] for run, other in zip(runs, first, strict=True)] for key in ("cpu", "clock")
        )
        cells = [_median(runs, "cpu"), ", ".join(f"{ratio:.3f}" for ratio in cpu), f"{statistics.median(cpu):.3f}"]
        cells += [_median(runs, "clock"), f"{statistics.median(clock):.3f}", _median(runs, "training")]
        lines.append(f"| {way} | " + " | ".join(cells) + " |")
    hashes = {run["weights"] for runs in found.values() for run in runs}
    return "\n".join([*lines, "", f"{len(hashes)} different hashes of the weights"])


def _median(runs, key):
    return f"{statistics.median(run[key] for run in runs):.2f}"


if __name__ == "__main__":
    main()
