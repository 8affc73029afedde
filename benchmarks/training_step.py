"""Where a training step's time goes, in paired runs on the same batches: of models, of commits, compiled or not.

    SMALL=hparams/serenanet.yaml+hparams/sizes/serenanet/small.yaml
    python benchmarks/training_step.py $SMALL --data_folder DIR --against COMMIT
    python benchmarks/training_step.py $SMALL --data_folder DIR --compile none default
    python benchmarks/training_step.py hparams/conmamba_ctc.yaml hparams/hmamba.yaml benchmarks/conformer_9m.yaml \\
        benchmarks/torchaudio_conformer_9m.yaml --data_folder DIR --max_batch_seconds 60 --operators 12

The other commit is checked out into a temporary work tree. All contestants take turns, a fresh process each; every
process trains on the same micro-batches, over and over, timed after each was seen once. Medians over steps, then over
rounds. A model's files are joined by +. Models share micro-batches if they agree on ``max_batch_seconds``, or it is
given here. ``--compile blocks`` is what trainings do with that option; the others compile the whole model, by
``reduce-overhead`` with CUDA graphs.

Operations are those of matrix products, convolutions and attention as `measure.operations` counts them, on plain
PyTorch's path, where scans are few of them; the peak is the fastest large matrix product of the same process.
``--operators 12`` says of the twelve that take most which share of a step's CPU time is theirs, by torch's profiler.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WARM_UP = 5  # steps, at least
PROFILED = 5  # steps
PARTS = (
    *("loading", "speed perturbation", "features", "SpecAugment", "front end", "encoder", "CAR", "compiled model"),
    *("losses", "backward", "optimizer", "other"),
)
COUNTED = ("operations", "peak")  # of a step, and in a second
MODES = ("none", "blocks", "default", "reduce-overhead", "max-autotune")


def main():
    options = parse()
    if options.worker:
        print(json.dumps(measure(options)))
        return
    with contestants(options) as runs:
        rounds = {name: [] for name in runs}
        for i in range(options.rounds):
            for name, run in runs.items():
                rounds[name].append(in_process(*run, options))
                print(f"round {i + 1}/{options.rounds}, {name}: {rounds[name][-1]['step'] * 1e3:.0f} ms per step")
    medians = {
        name: {part: statistics.median(run.get(part, 0.0) for run in runs) for part in (*PARTS, "step", *COUNTED)}
        for name, runs in rounds.items()
    }
    report(medians, options)
    if options.operators:
        print(
            "",
            operators_told({name: runs[-1]["operators"] for name, runs in rounds.items()}, options.operators),
            sep="\n",
        )


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("hparams", nargs="+", help="of each model, its files joined by +")
    parser.add_argument("--data_folder", required=True)
    parser.add_argument("--recipe", default="recipes/CommonVoice/sw")
    parser.add_argument("--against", help="commit to compare with")
    parser.add_argument("--compile", nargs="+", choices=MODES, default=["none"], help="of torch.compile, each a run")
    parser.add_argument("--max_batch_seconds", type=float, help="of a micro-batch, in the place of the file's")
    parser.add_argument("--batches", type=int, default=30, help="different micro-batches, the first of the epoch")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--operators", type=int, default=0, metavar="N", help="the costliest, of all contestants")
    parser.add_argument("--out", help="folder for training_step.json, .md and .png")
    parser.add_argument("--worker", help=argparse.SUPPRESS)  # folder for the run's files
    return parser.parse_args()


@contextmanager
def contestants(options):
    """Checkout, hparams file and way of compiling by name."""
    modes = {("" if mode == "none" else f", compiled ({mode})"): mode for mode in options.compile}
    with checkout(options.against) as other:
        trees = {"here": ROOT} if other is None else {options.against[:12]: other, "here": ROOT}
        yield {
            name_of(tree, file, options) + told: (folder, file, mode)
            for file in options.hparams
            for tree, folder in trees.items()
            for told, mode in modes.items()
        }


def name_of(tree, file, options):
    """What tells a contestant from others: its model, its checkout, or both."""
    if len(options.hparams) == 1:
        return tree
    return "+".join(Path(part).stem for part in file.split("+")) + (f", {tree}" if options.against else "")


@contextmanager
def checkout(commit):
    """A temporary work tree of a commit, or None."""
    if not commit:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), commit], check=True)
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def in_process(folder, hparams, mode, options):
    """`measure` of a checkout's own copy of this script, with its package and recipe."""
    names = ("data_folder", "recipe", "max_batch_seconds", "batches", "steps", "device", "precision")
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    given |= {"operators": options.operators} if options.operators else {}
    arguments = [hparams, "--compile", mode, *(str(x) for name, value in given.items() for x in (f"--{name}", value))]
    environment = os.environ | {
        "PYTHONPATH": str(folder),
        "OMP_NUM_THREADS": str(options.threads),
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    with tempfile.TemporaryDirectory() as work:
        script = folder / "benchmarks" / Path(__file__).name
        command = [sys.executable, str(script), *arguments, "--worker", work]
        done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(options):
    """Median seconds per step and part; its operations, and how many the machine does in a second."""
    import torch
    from measure import matrix_rate, operations

    from serenanet_modules.training import loop

    clock = Clock(options.device)
    brain, loader = trainer(options)
    model, h = brain.modules.model, brain.hparams
    clock.watch(loop, "change_speed", "speed perturbation")
    clock.watch(model.acoustic.features, "forward", "features")
    clock.watch(h.spec_augment, "forward", "SpecAugment")
    mode = options.compile[-1]
    if mode in ("none", "blocks"):
        clock.watch(model.acoustic.frontend, "forward", "front end")
        clock.watch(model.acoustic.encoder, "forward", "encoder")
        if model.car is not None:
            clock.watch(model.car, "forward", "CAR")
    else:
        model.forward = torch.compile(model.forward, mode=mode)
        clock.watch(model, "forward", "compiled model")
    clock.watch(brain, "compute_objectives", "losses")
    clock.watch(brain, "optimizers_step", "optimizer")
    clock.watch(torch.Tensor, "backward", "backward")
    batches, warm_up, counted = iter(loader), max(WARM_UP, options.batches), []
    for step in range(1, warm_up + WARM_UP + options.steps + 1):
        clock.start()
        batch = clock.timed("loading", lambda: next(batches))
        brain.step = step
        if step <= warm_up and mode == "none":
            counted.append(operations(lambda batch=batch: brain.fit_batch(batch)))
        else:
            brain.fit_batch(batch)
        clock.stop()
    found = clock.medians(warm_up + WARM_UP)  # before a profile, whose steps take longer
    found |= {"operations": statistics.median(counted), "peak": matrix_rate(options.device)} if counted else {}
    return found | ({"operators": profiled(brain, batches)} if options.operators else {})


def profiled(brain, batches):
    """Each operator's share of the CPU time of some steps, without that of operators that it calls."""
    import torch

    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        for batch in islice(batches, PROFILED):
            brain.fit_batch(batch)
    found = {event.key: event.self_cpu_time_total for event in profile.key_averages()}
    total = sum(found.values())
    return {name: time / total for name, time in found.items()}


def trainer(options):
    """A brain ready to train, and its loader; as `Experiment.run` makes them."""
    from speechbrain import Stage

    from serenanet_modules.runtime import distributed
    from serenanet_modules.training.experiment import Experiment

    prepared = Path(tempfile.gettempdir()) / "serenanet_training_step"  # decoded once for all rounds
    arguments = {"data_folder": options.data_folder, "precision": options.precision, "num_workers": 0, "lm": "null"}
    arguments |= {"compile": str(options.compile[-1] == "blocks").lower()}
    arguments |= {"output_folder": options.worker, "prepared_folder": prepared, "device": options.device}
    if options.max_batch_seconds:
        arguments["max_batch_seconds"] = options.max_batch_seconds
    line = [*options.hparams[0].split("+"), *(str(x) for key, value in arguments.items() for x in (f"--{key}", value))]
    stdout, sys.stdout = sys.stdout, sys.stderr
    try:
        experiment = Experiment.from_command_line(options.recipe, line)
        experiment.run_opts = distributed.start(experiment.run_opts)
        experiment._check()
        brain, source = experiment._ready()
        brain.on_fit_start()
        brain.progress.epoch = 1
        brain.on_stage_start(Stage.TRAIN, 1)
    finally:
        sys.stdout = stdout
    plans = list(islice(brain.train_sampler, options.batches))
    order = islice(cycle(plans), max(WARM_UP, options.batches) + WARM_UP + options.steps + PROFILED)
    return brain, source.loader(source.splits["train"], list(order), brain.encode)


class Clock:
    """Seconds by part and step."""

    def __init__(self, device):
        self.device, self.steps = device, []

    def now(self):
        if self.device.startswith("cuda"):
            import torch

            torch.cuda.synchronize()
        return time.perf_counter()

    def start(self):
        self.steps.append(defaultdict(float))
        self.began = self.now()

    def stop(self):
        step = self.steps[-1]
        total = self.now() - self.began
        step["other"] = total - sum(step.values())
        step["step"] = total

    def timed(self, part, function):
        began = self.now()
        result = function()
        self.steps[-1][part] += self.now() - began
        return result

    def watch(self, owner, name, part):
        """Time every call of a method."""
        method = getattr(owner, name)
        setattr(owner, name, lambda *a, **k: self.timed(part, lambda: method(*a, **k)))

    def medians(self, skip):
        kept = self.steps[skip:]
        return {part: statistics.median(step[part] for step in kept) for part in (*PARTS, "step")}


def report(medians, options):
    """Print the table; write it, the numbers and a plot where asked."""
    names = list(medians)
    lines = [f"| ms per step | {' | '.join(names)} |", "|---|" + "---:|" * len(names)]
    for part in (*PARTS, "step"):
        if any(medians[name][part] for name in names):
            lines.append(row(part, names, {name: f"{1e3 * medians[name][part]:.1f}" for name in names}))
    told = {name: run for name, run in medians.items() if run.get("operations")}
    if told:
        lines.append(row("GFLOP", names, {name: f"{run['operations'] / 1e9:.1f}" for name, run in told.items()}))
        shares = {name: f"{run['operations'] / run['step'] / run['peak']:.0%}" for name, run in told.items()}
        lines.append(row("share of the peak", names, shares))
    if len(names) > 1:
        ratios = (f"{name} {medians[names[0]]['step'] / medians[name]['step']:.2f}" for name in names[1:])
        lines.append(f"\nTimes as fast as {names[0]}: {', '.join(ratios)}.")
    table = "\n".join(lines)
    print(table)
    if options.out:
        folder = Path(options.out)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "training_step.md").write_text(table + "\n", encoding="utf-8")
        (folder / "training_step.json").write_text(json.dumps(medians, indent=1), encoding="utf-8")
        plot(medians, folder / "training_step.png")


def operators_told(shares, count):
    """A table of the operators that take most of any contestant's time.

    Examples
    --------
    >>> print(operators_told({"a": {"mm": 0.5, "add": 0.1, "to": 0.01}, "b": {"mm": 0.2, "scan": 0.4}}, 2))
    | share of CPU time | a | b |
    |---|---:|---:|
    | mm | 50 % | 20 % |
    | scan |  | 40 % |
    | others | 11 % | 0 % |
    """
    most = {name: max(found.get(name, 0.0) for found in shares.values()) for found in shares.values() for name in found}
    chosen = sorted(most, key=most.get, reverse=True)[:count]
    lines = [f"| share of CPU time | {' | '.join(shares)} |", "|---|" + "---:|" * len(shares)]
    for name in chosen:
        cells = {key: f"{100 * found[name]:.0f} %" for key, found in shares.items() if name in found}
        lines.append(row(name, list(shares), cells))
    rest = {
        key: f"{100 * sum(share for name, share in found.items() if name not in chosen):.0f} %"
        for key, found in shares.items()
    }
    return "\n".join([*lines, row("others", list(shares), rest)])


def row(name, contestants, cells):
    """A line of the table, empty where a contestant has no cell."""
    return f"| {name} | " + " | ".join(cells.get(contestant, "") for contestant in contestants) + " |"


def plot(medians, path):
    """Stacked bars: one per contestant."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 1.2 + 0.8 * len(medians)), layout="constrained")
    left, colours = [0.0] * len(medians), pyplot.get_cmap("tab20").colors
    for part, colour in zip(PARTS, colours, strict=False):
        widths = [1e3 * run[part] for run in medians.values()]
        axes.barh(list(medians), widths, left=left, label=part, color=colour)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.set_xlabel("milliseconds per step")
    axes.invert_yaxis()
    figure.legend(loc="outside right center", frameon=False)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
