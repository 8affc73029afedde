"""What a corpus of many utterances costs before its first batch, and a batch's plan after it.

    python benchmarks/planner.py --sizes 10000 100000 1000000 10000000 --out results/benchmarks/planner

Writes a manifest of so many made-up utterances, all of one second of noise in one FLAC file, and reads it in a process
of its own: the manifest, the plan of an epoch, the first batch with its samples, and some hundreds of plans more.
Times are those of the processor, by one thread. Memory is the most that was resident beyond what the process has after
its imports and one batch of a manifest of 100.
"""

import argparse
import itertools
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from serenanet_modules.data.audio import save_flac  # noqa: E402
from serenanet_modules.data.batching import BatchSampler, Utterances  # noqa: E402
from serenanet_modules.data.listed import Listed  # noqa: E402
from serenanet_modules.data.manifest import write_manifest  # noqa: E402
from serenanet_modules.runtime.memory import forget_peak, peak, resident  # noqa: E402

BATCH_SECONDS = 100.0
STEPS = 300
WORDS = "habari ya asubuhi ninakwenda sokoni kununua samaki na mboga kwa ajili chakula cha jioni leo watoto".split()
PARTS = ("manifest", "plan", "first batch")


def main(argv=None):
    options = parse(argv)
    if options.child:
        print(json.dumps(measured(options.child)))
        return
    rows = []
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        save_flac(Path(folder) / "clip.flac", np.random.default_rng(0).uniform(-0.1, 0.1, 16000))
        for size in options.sizes:
            manifest = Path(folder) / "manifest.csv"
            write(manifest, size)
            rows.append({"utterances": size, "bytes": manifest.stat().st_size, **in_a_process(manifest)})
            print(table(rows[-1:]).splitlines()[-1], flush=True)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "planner.md").write_text(table(rows) + "\n", encoding="utf-8")
        draw(rows, options.out / "planner.png")


def parse(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10**4, 10**5, 10**6], help="utterances")
    parser.add_argument("--out", type=Path, help="folder for the table and the picture")
    parser.add_argument("--scratch", type=Path, help="folder for manifests: 160 bytes an utterance")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def write(path, count, seed=0):
    """Write a manifest of made-up utterances: 1 to 15 s, three to twelve words, a thousand speakers."""
    rng = random.Random(seed)
    write_manifest(path, [])
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(3, 12))) for _ in range(5000)]
    with open(path, "a", encoding="utf-8") as file:
        for i in range(count):
            about = f"{1 + 14 * rng.random():.3f},{texts[i % 5000]},,s{i % 1000:03d},sw,train,1.0,,"
            file.write(f"utterance_{i:08d},clip.flac,{about}\n")


def in_a_process(manifest):
    """What `measured` finds in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--child", str(manifest)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


def measured(manifest):
    """Seconds of each part, of a later plan, and bytes of memory."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "small.csv", 100)
        begin(Path(folder) / "small.csv", manifest.parent)
    forget_peak()
    before = resident()
    seconds, plans = begin(manifest, manifest.parent)
    start = time.process_time()
    steps = sum(1 for _ in itertools.islice(plans, STEPS))
    return {"seconds": seconds, "step": (time.process_time() - start) / steps, "memory": peak() - before}


def begin(manifest, root):
    """Read and plan up to the first batch; seconds of each part, and the plans that follow."""
    times, seconds = [time.process_time()], {}
    rows = Listed(manifest).of("train").of_mean_weight_one()
    times.append(time.process_time())
    plans = iter(BatchSampler(rows.durations, BATCH_SECONDS, seed=1))
    first = next(plans)
    times.append(time.process_time())
    Utterances(rows, root, encode=lambda u: [1] * len(u.text))[first]
    times.append(time.process_time())
    for part, start, end in zip(PARTS, times, times[1:], strict=False):
        seconds[part] = end - start
    return seconds, plans


def table(rows):
    lines = ["| utterances | manifest, s | plan, s | first batch, s | all, s | a later plan, µs | bytes an utterance |"]
    lines.append("|---:|---:|---:|---:|---:|---:|---:|")
    for row in rows:
        cells = [f"{row['seconds'][part]:.3f}" for part in PARTS] + [f"{sum(row['seconds'].values()):.2f}"]
        cells += [f"{1e6 * row['step']:.0f}", f"{row['memory'] / row['utterances']:.0f}"]
        lines.append(f"| {row['utterances']:,} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(rows, path):
    """Seconds to the first batch and bytes an utterance, against the number of utterances."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), layout="constrained")
    sizes = [row["utterances"] for row in rows]
    found = {
        "processor seconds to the first batch": [sum(row["seconds"].values()) for row in rows],
        "bytes of memory for an utterance": [row["memory"] / row["utterances"] for row in rows],
    }
    for axes, (name, values) in zip(figure.subplots(1, 2), found.items(), strict=True):
        axes.plot(sizes, values, marker="o")
        axes.set(xscale="log", xlabel="utterances in the manifest", title=name)
        axes.grid(alpha=0.3)
        if "seconds" in name:
            axes.set_yscale("log")
        else:
            axes.set_ylim(0, 1.1 * max(values))
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
