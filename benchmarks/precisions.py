"""What training in fewer bits costs: paired trainings on the embedded corpus, rounded on any machine as a GPU would.

    python benchmarks/precisions.py --work results/benchmarks/precisions

Trains a small model from each of some seeds in each precision, otherwise alike, and compares the CTC loss on dev after
the last epoch, with the weights as they are then, in fp32. A run that is finished is not made again.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("fp32", "fp8", "mxfp8", "mxfp4")
BOUNDS = {"fp8": 1.10, "mxfp8": 1.10, "mxfp4": 1.25}
SMALL = """
    --d_model 96 --encoder.n_layers 2 --encoder.d_ffn 256 --encoder.n_heads 2 --car null --dropout 0.0
    --spec_augment null --speed_perturb null --max_batch_seconds 12 --lr 0.003 --warmup_steps 60 --beam_size 0 --lm null
    --checkpoints_to_average 1 --noprogressbar --device=cpu
""".split()


def main(argv=None):
    options = parse(argv)
    found = {name: [outcome(train(options, name, seed)) for seed in options.seeds] for name in options.precisions}
    print(table(found))


def parse(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for the runs and the prepared corpus")
    parser.add_argument("--precisions", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--seeds", nargs="+", type=int, default=(1, 2, 3))
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--data", type=Path, default=ROOT / "tests/sample/CommonVoice/sw")
    parser.add_argument("--more", nargs=argparse.REMAINDER, default=[], help="further hyper-parameters")
    return parser.parse_args(argv)


def train(options, name, seed):
    """The content of result.json of a run."""
    folder = options.work / f"{name}-{seed}"
    if not (folder / "result.json").is_file():
        line = [sys.executable, ROOT / "recipes/CommonVoice/sw/train.py"]
        line += [ROOT / "hparams/serenanet.yaml", ROOT / "hparams/sizes/serenanet/small.yaml"]
        line += [
            "--data_folder",
            options.data,
            "--output_folder",
            folder,
            "--prepared_folder",
            options.work / "prepared",
        ]
        line += ["--precision", name, "--emulate_precision", "--seed", seed, "--number_of_epochs", options.epochs]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run([*map(str, line), *SMALL, *options.more], env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr[-2000:] or done.stdout[-2000:])
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


def outcome(result):
    """Loss and CER on dev after the last epoch, seconds of the processor, and the share of weights in fewer bits."""
    last, precision = result["history"][-1]["dev"], result["precision"]
    share = precision.get("share_of_linear_weights", 0.0)
    return {"loss": last["loss"], "CER": last["CER"], "cpu": result["seconds"]["training_cpu"], "share": share}


def table(found):
    """A row a precision: means over seeds, and the ratio of losses of the same seed to fp32's."""
    lines = [
        "| precision | linear weights in it | loss on dev | beside fp32, each seed | mean | bound | CER % | CPU s |"
    ]
    lines.append("|---|---:|---:|---:|---:|---:|---:|---:|")
    for name, runs in found.items():
        mean = {key: statistics.mean(run[key] for run in runs) for key in runs[0]}
        ratios = [run["loss"] / exact["loss"] for run, exact in zip(runs, found["fp32"], strict=True)]
        each = ", ".join(f"{ratio:.3f}" for ratio in ratios)
        bound = f"{BOUNDS[name]:.2f}" if name in BOUNDS else ""
        ratio = mean["loss"] / statistics.mean(exact["loss"] for exact in found["fp32"])
        cells = [f"{100 * mean['share']:.0f} %", f"{mean['loss']:.3f}", each, f"{ratio:.3f}", bound]
        lines.append(f"| {name} | " + " | ".join([*cells, f"{mean['CER']:.1f}", f"{mean['cpu']:.0f}"]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
