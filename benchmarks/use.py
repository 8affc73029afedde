"""What --quantize int8 and --reproducible cost and bring: error rates, time and memory of a finished run.

    python benchmarks/use.py RESULT_DIR recipes/CommonVoice/sw --data-folder DIR --work results/benchmarks/use

Each way recognises all of a set greedily in a process of its own, by one thread. Seconds are the processor's, of
recognition alone; memory is resident when the model is opened, beyond the process before, and the most while it works.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

WAYS = {"fp32": {}, "int8": {"quantize": "int8"}, "reproducible": {"alone": True}}
WAYS["int8, reproducible"] = {"quantize": "int8", "alone": True}
MIB = 2**20


def main(argv=None):
    options = parse(argv)
    if options.child:
        print("\n" + json.dumps(measured(options, WAYS[options.child])))
        return
    print(table({name: in_a_process(name, argv or sys.argv[1:]) for name in options.ways}))


def parse(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("data", help="a recipe or a manifest")
    parser.add_argument("--data-folder")
    parser.add_argument("--split", default="dev")
    parser.add_argument("--work", type=Path, required=True, help="folder for the prepared audio")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--child", choices=WAYS, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def in_a_process(name, argv):
    line = [sys.executable, __file__, *argv, "--child", name]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def measured(options, way):
    """Error rates, seconds and bytes of one way."""
    from serenanet_modules.analysis.scoring import LEVELS, score
    from serenanet_modules.data.asked import candidates
    from serenanet_modules.data.audio import load
    from serenanet_modules.data.manifest import read_manifest
    from serenanet_modules.data.preparation import prepare
    from serenanet_modules.inference.recognizer import Recognizer
    from serenanet_modules.runtime.memory import forget_peak, hand_back, peak, resident

    chosen = candidates(options.data, "sw", options.data_folder, options.split)
    prepared = prepare(chosen, options.work, progress=False)
    rows = read_manifest(prepared.manifest)
    sounds = [load(prepared.folder / u.path) for u in rows]
    before = resident()
    recognizer = Recognizer.from_folder(options.folder, computing=way)
    recognizer.transcribe(sounds[:1])
    hand_back()
    opened = resident() - before
    forget_peak()
    start = time.process_time()
    texts = [t.text for t in recognizer.transcribe(sounds)]
    seconds = time.process_time() - start
    pairs = {u.id: u.text for u in rows}, dict(zip((u.id for u in rows), texts, strict=True))
    rates = {m: 100 * score(*pairs, LEVELS[m]).total.rate for m in ("WER", "CER")}
    audio = sum(u.duration for u in rows)
    return {**rates, "seconds": seconds, "audio": audio, "opened": opened, "most": peak() - before}


def table(found):
    lines = ["| way | WER % | CER % | CPU s | RTF | CPU ratio to the first | after loading, MiB | peak, MiB |"]
    lines.append("|---|---:|---:|---:|---:|---:|---:|---:|")
    first = next(iter(found.values()))["seconds"]
    for name, f in found.items():
        cells = [f"{f['WER']:.2f}", f"{f['CER']:.2f}", f"{f['seconds']:.1f}", f"{f['seconds'] / f['audio']:.4f}"]
        cells += [f"{f['seconds'] / first:.2f}", f"{f['opened'] / MIB:.0f}", f"{f['most'] / MIB:.0f}"]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
