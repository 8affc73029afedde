"""What training in fewer bits costs: paired trainings on the embedded corpus, rounded on any machine as a GPU would.

    python benchmarks/precisions.py --work results/benchmarks/precisions

Trains a small model from each of some seeds in each precision, otherwise alike: the same initial weights and batches,
nothing drawn while it learns, and a rate that ends at zero. Compares the CTC loss on dev after the last epoch, with
the weights as they are then, in fp32. Dev is the corpus's dev and test together, for less noise; another row in fp32,
with another learning rate, shows what is left of it. A run that is finished is not made again.
"""

import argparse
import statistics
from pathlib import Path

from trainings import CORPUS, trained

RATE = 0.003
WAYS = {  # name -> precision, learning rate
    "fp32": ("fp32", RATE),
    "fp32, rate + 2 %": ("fp32", 1.02 * RATE),
    **{name: (name, RATE) for name in ("fp8", "mxfp8", "mxfp4")},
}
BOUNDS = {"fp8": 1.10, "mxfp8": 1.10, "mxfp4": 1.25}


def main(argv=None):
    options = parse(argv)
    data, found = corpus(options.data, options.work / "corpus"), {name: [] for name in options.ways}
    for seed in options.seeds:
        for name in options.ways:
            found[name].append(outcome(train(options, data, name, seed)))
            print(name, seed, found[name][-1], flush=True)
    print(table(found))


def parse(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for the runs and the prepared corpus")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--seeds", nargs="+", type=int, default=(1, 2, 3))
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--data", type=Path, default=CORPUS)
    parser.add_argument("--more", nargs=argparse.REMAINDER, default=[], help="further hyper-parameters")
    return parser.parse_args(argv)


def corpus(data, folder):
    """A corpus of the same clips, whose dev is dev and test, and whose test is the first of these."""
    folder.mkdir(parents=True, exist_ok=True)
    train, dev, test = (data.joinpath(f"{split}.tsv").read_text(encoding="utf-8") for split in ("train", "dev", "test"))
    head, first, rest = test.split("\n", 2)
    for split, text in {"train": train, "dev": f"{dev}{first}\n{rest}", "test": f"{head}\n{first}\n"}.items():
        (folder / f"{split}.tsv").write_text(text, encoding="utf-8")
    if not (folder / "clips").exists():
        (folder / "clips").symlink_to((data / "clips").resolve())
    return folder


def train(options, data, name, seed):
    """The content of result.json of a run."""
    precision, rate = WAYS[name]
    words = ["--data_folder", data, "--prepared_folder", options.work / "prepared", "--emulate_precision"]
    words += ["--precision", precision, "--lr", rate, "--seed", seed, "--number_of_epochs", options.epochs]
    return trained(options.work / f"{name.replace(' ', '_')}-{seed}", *words, *options.more)


def outcome(result):
    """Loss and CER on dev after the last epoch, seconds of the processor, and the share of weights in fewer bits."""
    last, precision = result["history"][-1]["dev"], result["precision"]
    share = precision.get("share_of_linear_weights", 0.0)
    return {"loss": last["loss"], "CER": last["CER"], "cpu": result["seconds"]["training_cpu"], "share": share}


def table(found):
    """A row a precision: means over seeds, and the ratio of losses of the same seed to fp32's."""
    heads = ("precision", "linear weights in it", "loss on dev", "ratio to fp32, each seed", "mean", "ratio of means")
    lines = ["| " + " | ".join([*heads, "bound", "CER %", "CPU s"]) + " |", "|---|---:|---:|---|" + "---:|" * 5]
    for name, runs in found.items():
        mean = {key: statistics.mean(run[key] for run in runs) for key in runs[0]}
        ratios = [run["loss"] / exact["loss"] for run, exact in zip(runs, found["fp32"], strict=True)]
        each = ", ".join(f"{ratio:.3f}" for ratio in ratios)
        bound = f"{BOUNDS[name]:.2f}" if name in BOUNDS else ""
        ratio = mean["loss"] / statistics.mean(exact["loss"] for exact in found["fp32"])
        cells = [f"{100 * mean['share']:.0f} %", f"{mean['loss']:.3f}", each]
        cells += [f"{statistics.mean(ratios):.3f}", f"{ratio:.3f}", bound]
        lines.append(f"| {name} | " + " | ".join([*cells, f"{mean['CER']:.1f}", f"{mean['cpu']:.0f}"]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
