"""How long a user waits before the work begins: whole processes in turn, by the system's own account of each.

    python benchmarks/startup.py transcribe RESULT_DIR CLIP --against CHECKOUT
    python benchmarks/startup.py train hparams/serenanet.yaml --data_folder DIR --against CHECKOUT

``transcribe`` is `serenanet transcribe` of one clip. ``train`` is a recipe's train.py up to the first optimizer step,
in a new result folder, with a corpus that an earlier run has prepared. ``python -c "import torch"`` takes part in
both. A round runs each contestant once; the first round is not counted. Medians over rounds; ratios are medians of the
rounds' own ratios, so that a drift of the machine meets both sides alike.
"""

import argparse
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
TORCH = "import torch"
FIRST_STEP = """
import os, runpy, sys
from torch.optim.optimizer import register_optimizer_step_post_hook
register_optimizer_step_post_hook(lambda *_: os._exit(0))
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
raise SystemExit("there was no optimizer step")
"""


class Cost(NamedTuple):
    """What one process took."""

    wall: float  # seconds
    cpu: float  # seconds, of user and system, its children's too
    memory: float  # MiB, the most that was resident


def main(argv=None):
    options = parse(argv)
    with tempfile.TemporaryDirectory() as work:
        runs = contestants(options, Path(work))
        rounds = [{name: cost(*make(number)) for name, make in runs.items()} for number in range(1 + options.rounds)]
    print(table(rounds[1:]))


def parse(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="what", required=True)
    transcribe = commands.add_parser("transcribe")
    transcribe.add_argument("folder", type=Path, help="of a finished run")
    transcribe.add_argument("clip", type=Path)
    train = commands.add_parser("train")
    train.add_argument("hparams", nargs="+", help="files, relative to a checkout")
    train.add_argument("--data_folder", required=True, type=Path)
    train.add_argument("--recipe", default="recipes/CommonVoice/sw")
    train.add_argument("--more", default="", metavar="'--key value …'", help="further hyper-parameters")
    train.add_argument("--prepared_folder", type=Path, help="that holds the prepared corpus; by default a new one")
    train.add_argument("--their_hparams", nargs="+", help="the files' names in the other checkout, if others")
    for command in (transcribe, train):
        command.add_argument("--against", type=Path, metavar="CHECKOUT", help="folder of another commit")
        command.add_argument("--rounds", type=int, default=9)
        command.add_argument("--threads", type=int, default=1)
    return parser.parse_args(argv)


def contestants(options, work):
    """By name, a function: number of the round -> command line, folder to run it in, environment."""
    trees = {"here": ROOT} | ({} if options.against is None else {"there": options.against.resolve()})
    line = transcription if options.what == "transcribe" else training
    environment = os.environ | {"OMP_NUM_THREADS": str(options.threads), "OMP_WAIT_POLICY": "PASSIVE"}

    def run(name, folder):
        own = environment | {"PYTHONPATH": str(folder)}
        return lambda number: ([sys.executable, *line(options, name, work, number)], folder, own)

    torch = {TORCH: lambda number: ([sys.executable, "-c", TORCH], ROOT, environment)}
    return torch | {f"{options.what}, {name}": run(name, folder) for name, folder in trees.items()}


def transcription(options, name, work, number):
    folder, clip = options.folder.resolve(), options.clip.resolve()
    return ["-m", "serenanet_modules.cli", "transcribe", str(folder), str(clip), "--device", "cpu"]


def training(options, name, work, number):
    files = options.their_hparams if name == "there" and options.their_hparams else options.hparams
    given = {
        "data_folder": options.data_folder.resolve(),
        "prepared_folder": options.prepared_folder or work / name / "prepared",
    }
    given |= {"output_folder": work / name / str(number), "device": "cpu"}
    keys = [str(x) for key, value in given.items() for x in (f"--{key}", value)]
    return ["-c", FIRST_STEP, f"{options.recipe}/train.py", *files, *keys, *shlex.split(options.more)]


def cost(command, folder, environment):
    """Run a process to its end.

    Raises
    ------
    SystemExit
        If it fails, with what it has said.
    """
    with tempfile.TemporaryFile() as said:
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"{shlex.join(command)} failed:\n{said.read().decode(errors='replace')[-2000:]}")
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit)


def table(rounds):
    """A row a contestant: medians, and ratios to all that stand above it."""
    heading = ("whole process", "wall, s", "CPU, s", "peak, MiB", "times the others: wall, CPU")
    lines, above = [f"| {' | '.join(heading)} |", "|---|---:|---:|---:|---|"], []
    for name in rounds[0]:
        wall, cpu, memory = map(statistics.median, zip(*(costs[name] for costs in rounds), strict=True))
        ratios = "; ".join(f"{other} {', '.join(_ratios(rounds, name, other))}" for other in above)
        lines.append(f"| {name} | {wall:.2f} | {cpu:.2f} | {memory:.0f} | {ratios} |")
        above.append(name)
    return "\n".join(lines)


def _ratios(rounds, name, other):
    for figure in ("wall", "cpu"):
        pairs = ((getattr(costs[name], figure), getattr(costs[other], figure)) for costs in rounds)
        yield f"{statistics.median(one / another for one, another in pairs):.2f}"


if __name__ == "__main__":
    main()
