"""What preparing a corpus takes by one and by several processes; what reading it takes from files and from archives.

    python benchmarks/preparing.py recipes/CommonVoice/sw --data-folder DIR --processes 1 2

Processes have one thread each, as with ``--preparation.jobs 1``, and share the corpus as those of a training do.
Seconds are each process's own, of the processor: where each has a core, the preparation lasts as long as its slowest.
Then the micro-batches of an epoch are read in turns from a file a clip and from archives (``--pack``), by one thread.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from serenanet_modules.data.asked import corpus  # noqa: E402
from serenanet_modules.data.batching import BatchSampler, Utterances  # noqa: E402
from serenanet_modules.data.manifest import read_manifest  # noqa: E402
from serenanet_modules.data.preparation import Part, prepare  # noqa: E402
from serenanet_modules.runtime import distributed  # noqa: E402

BATCH_SECONDS = 60.0
WAYS = {"a file a clip": False, "archives": True}


def main(argv=None):
    options = parse(argv)
    if options.child:
        print(json.dumps(share_of(options)))
        return
    print(preparing({count: by_processes(count, argv or sys.argv[1:]) for count in options.processes}))
    print("\n" + reading(in_turns(options)))


def parse(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="a recipe or a manifest")
    parser.add_argument("--data-folder")
    parser.add_argument("--locale", default="sw")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5, help="of reading")
    parser.add_argument("--scratch", type=Path, help="folder for what is prepared")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def by_processes(count, argv):
    """Seconds of each of so many processes, and by the clock."""
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={count}"]
    with tempfile.TemporaryDirectory(dir=parse(argv).scratch) as folder:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PREPARING": folder}
        done = subprocess.run(
            [*line, __file__, *argv, "--child"], env=environment, capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise SystemExit(done.stderr)
    told = told_by(done.stdout)
    return {"cpu": [process["cpu"] for process in told], "clock": max(process["clock"] for process in told)}


def told_by(text):
    """What each process printed; they do so side by side."""
    return [json.loads(said) for said in re.findall(r"\{[^}]*\}", text)]


def share_of(options):
    """What this process takes, of a preparation that all of the launch share."""
    distributed.start({"device": "cpu", "distributed_backend": "gloo"})
    clips, start = corpus(options.data, options.locale, options.data_folder), (time.process_time(), time.perf_counter())
    distributed.main_first(
        lambda share: prepare(clips, os.environ["PREPARING"], jobs=1, progress=False, share=share).folder, Part.hear
    )
    found = {"cpu": time.process_time() - start[0], "clock": time.perf_counter() - start[1]}
    distributed.stop()
    return found


def in_turns(options):
    """Seconds of reading an epoch's micro-batches, round by round, and of audio in them."""
    clips, found = corpus(options.data, options.locale, options.data_folder), {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        sets = {}
        for way, pack in WAYS.items():
            prepared = prepare(clips, Path(folder) / str(pack), progress=False, pack=pack)
            rows = read_manifest(prepared.manifest)
            sets[way] = Utterances(rows, prepared.folder, encode=lambda u: [1] * len(u.text))
        plans = list(BatchSampler([u.duration for u in rows], BATCH_SECONDS, seed=1))
        for _ in range(options.rounds + 1):
            for way, utterances in sets.items():
                start = time.process_time()
                for plan in plans:
                    utterances[plan]
                found[way].append(time.process_time() - start)
    return {way: seconds[1:] for way, seconds in found.items()}, sum(u.duration for u in rows)  # the first warms up


def preparing(found):
    lines = [
        "| processes | CPU s of each | slowest | times as fast as one | wall time, s |",
        "|---:|---|---:|---:|---:|",
    ]
    first = max(next(iter(found.values()))["cpu"])
    for count, told in found.items():
        slowest = max(told["cpu"])
        each = ", ".join(f"{seconds:.2f}" for seconds in told["cpu"])
        lines.append(f"| {count} | {each} | {slowest:.2f} | {first / slowest:.2f} | {told['clock']:.1f} |")
    return "\n".join(lines)


def reading(found):
    seconds, audio = found
    first = seconds[next(iter(WAYS))]
    lines = ["| from | CPU s an epoch | ratio to files, each round | median |", "|---|---:|---|---:|"]
    for way, measured in seconds.items():
        ratios = [a / b for a, b in zip(measured, first, strict=True)]
        each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        lines.append(f"| {way} | {statistics.median(measured):.2f} | {each} | {statistics.median(ratios):.2f} |")
    return "\n".join([*lines, "", f"{audio / 3600:.2f} h of audio"])


if __name__ == "__main__":
    main()
