"""What only a machine with an NVIDIA GPU can show, by one command, on one page: ``make gpu-check``.

    python benchmarks/gpu_check.py --out results/gpu_check
    python benchmarks/gpu_check.py --device cpu --epochs 1 --parts precisions processes

Finds or builds the fused kernels, runs the tests that need a GPU, trains in every precision that the card has, in bf16
for longer, and on all GPUs that there are, whole and in shards, and measures training steps. ``--device cpu`` rehearses
the parts on a CPU and shows nothing of a GPU. A part that fails is told on the page and costs no other; the status is
then 1. Runs stay in ``--out``, and the same command does not do them again.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

from serenanet_modules.ablation.schedule import last_line  # noqa: E402
from serenanet_modules.errors import UserError  # noqa: E402
from serenanet_modules.runtime.ending import status_of  # noqa: E402
from serenanet_modules.runtime.precision import KINDS  # noqa: E402
from serenanet_modules.runtime.provenance import device_name, provenance  # noqa: E402

TRAIN = "recipes/CommonVoice/sw/train.py"
MODEL = ("hparams/serenanet.yaml", "hparams/sizes/serenanet/demo.yaml")
STEPS = ("hparams/serenanet.yaml+hparams/sizes/serenanet/small.yaml", "hparams/conformer_ctc.yaml")
FUSED = ("mamba_ssm", "causal_conv1d")


class Failed(Exception):
    """A part has not done what it is to show; its text goes onto the page."""


def main(argv=None):
    """Do the parts, write the page; 0, or 1 where a part has failed."""
    options = parse(argv)
    if options.device == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "gpu-check: this machine has no GPU that PyTorch can use; run it where nvidia-smi shows one, or rehearse "
            "with python benchmarks/gpu_check.py --device cpu"
        )
    options.out.mkdir(parents=True, exist_ok=True)
    sections, failures = [heading(options)], 0
    for name in options.parts:
        began = time.monotonic()
        try:
            text = PARTS[name](options)
        except (Failed, OSError, LookupError, ValueError) as error:  # of a command, or of what it left
            text, failures = f"**Failed.** {error or type(error).__name__}", failures + 1
        sections.append(f"## {name.capitalize()}\n\n{text}\n\n({time.monotonic() - began:.0f} s)")
        print(sections[-1], flush=True)
        (options.out / "gpu_check.md").write_text("\n\n".join(sections) + "\n", encoding="utf-8")
    print(f"\nthe page: {options.out / 'gpu_check.md'}")
    return int(failures > 0)


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--data_folder", type=_path, default=ROOT / "tests/sample/CommonVoice/sw")
    parser.add_argument("--epochs", type=int, default=30, help="of the training in bf16; others have 2 at most")
    parser.add_argument("--out", type=_path, default=ROOT / "results" / "gpu_check")
    return parser.parse_args(argv)


def _path(word):
    return Path(word).resolve()


def heading(options):
    """What was checked where."""
    told = provenance()
    rehearsed = "**A rehearsal on a CPU, which shows nothing of a GPU.**\n\n" * (options.device == "cpu")
    cards = [_card(number) for number in range(torch.cuda.device_count())] or [device_name(torch.device("cpu"))]
    facts = [*cards, f"PyTorch {torch.__version__}, CUDA {torch.version.cuda}", f"commit {told.get('commit')}"]
    return f"# GPU check\n\n{rehearsed}" + "\n".join(f"- {fact}" for fact in facts)


def _card(number):
    told = torch.cuda.get_device_properties(number)
    return f"GPU {number}: {told.name}, capability {told.major}.{told.minor}, {told.total_memory / 2**30:.0f} GiB"


# --- parts ----------------------------------------------------------------------------------------------------------


def kernels(options):
    """Find or build the fused kernels, and compare all backends with the references."""
    missing = [name for name in FUSED if importlib.util.find_spec(name) is None]
    told = "mamba-ssm and causal-conv1d were there."
    if missing and options.device == "cuda":
        run(options, "build", ".ci/kernels", sys.executable)
        told = "mamba-ssm and causal-conv1d were built here."
    elif missing:
        told = f"{' and '.join(missing)} not here, and not built for a CPU."
    return f"{told}\n\n```\n{run(options, 'ops', sys.executable, '-m', 'serenanet_modules.ops')}\n```"


def tests(options):
    """The tests that need a GPU; on a machine without one they skip themselves."""
    printed = run(
        options, "tests", sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider", "tests"
    )
    return f"`pytest -m gpu`: {printed.splitlines()[-1]}"


def precisions(options):
    """A short training in each, or the sentence that refuses it."""
    lines = ["| precision | loss, dev | WER, dev | training, s | |", "|---|---:|---:|---:|---|"]
    for name in KINDS:
        try:
            result = train(options, f"precision_{name}", "--precision", name, "--number_of_epochs", short(options))
        except Failed as error:
            if " needs " not in str(error):
                raise
            lines.append(f"| {name} | | | | {str(error).partition(': ')[2]} |")
            continue
        last = result["history"][-1]
        seconds, told = (
            result["seconds"]["training"],
            f"{result['precision'].get('converted_layers', 0)} layers converted",
        )
        lines.append(f"| {name} | {last['dev']['loss']:.3f} | {last['dev']['WER']:.1f} | {seconds:.0f} | {told} |")
    return "\n".join(lines)


def training(options):
    """One that learns, in bf16."""
    result = train(options, "bf16", "--precision", "bf16", "--number_of_epochs", options.epochs)
    first, last = result["history"][0], result["history"][-1]
    return (
        f"bf16, {result['epochs']} epochs of {options.data_folder.name}, {result['seconds']['training']:.0f} s on "
        f"{result['device']}: loss on train {first['train']['loss']:.2f} → {last['train']['loss']:.2f}, on dev "
        f"{first['dev']['loss']:.2f} → {last['dev']['loss']:.2f}."
    )


def processes(options):
    """All GPUs, each with all weights and each with a part of them, against one that accumulates as many."""
    count = torch.cuda.device_count() if options.device == "cuda" else 2
    if count < 2:
        return "One GPU: nothing to share out."
    launch = ("-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={count}")
    usual = ("--number_of_epochs", short(options), "--precision", "fp32")
    alone = train(options, "alone", *usual, "--grad_accumulation_factor", count)
    lines = ["| | training, s | largest difference of weights |", "|---|---:|---:|"]
    lines.append(f"| one, {count} micro-batches a step | {alone['seconds']['training']:.0f} | |")
    for name, more in (("whole", ()), ("shards", ("--fsdp",))):
        result = train(options, name, *usual, *more, launch=launch)
        far = distance(options.out / "alone", options.out / name)
        lines.append(f"| {count}, {name} | {result['seconds']['training']:.0f} | {far:.1e} |")
    return "\n".join(lines)


def throughput(options):
    """Training steps of our small model and of SpeechBrain's Conformer, here and on the CPU."""
    tables = []
    for device, precision in dict.fromkeys([(options.device, "bf16"), ("cpu", "fp32")]):
        words = ("--device", device, "--precision", precision, "--rounds", 1, "--steps", 5, "--batches", 5)
        words += ("--data_folder", options.data_folder, "--max_batch_seconds", 60)
        printed = run(options, f"steps_{device}", sys.executable, "benchmarks/training_step.py", *STEPS, *words)
        tables.append(f"{device}, {precision}:\n\n{printed[printed.index('| ms per step') :]}")
    return "\n\n".join(tables)


PARTS = {part.__name__: part for part in (kernels, tests, precisions, training, processes, throughput)}


# --- how they are done ----------------------------------------------------------------------------------------------


def short(options):
    """Epochs of the trainings that only have to go."""
    return min(2, options.epochs)


def train(options, name, *words, launch=()):
    """The result of a training in a folder of its own, which is not done again where it is finished.

    Raises
    ------
    Failed
        With its last sentence.
    """
    folder = options.out / name
    given = {"data_folder": options.data_folder, "output_folder": folder, "prepared_folder": options.out / "prepared"}
    usual = [str(word) for key, value in given.items() for word in (f"--{key}", value)]
    usual += ["--device", options.device, "--noprogressbar", "--beam_size", "0", "--lm", "null"]
    file = folder / "result.json"
    if not file.is_file():
        run(options, name, sys.executable, *launch, TRAIN, *MODEL, *usual, *words)
    return json.loads(file.read_text(encoding="utf-8"))


def run(options, name, *words):
    """What a command prints, which is kept beside the page.

    Raises
    ------
    Failed
        With the last line that says an error, where it ends otherwise than well.
    """
    file = options.out / f"{name}.txt"
    with open(file, "w", encoding="utf-8") as output:
        done = subprocess.run([str(word) for word in words], cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
    if done.returncode:
        raise Failed(last_line(file))
    return file.read_text(encoding="utf-8").strip()


def distance(one, other):
    """The largest difference of two runs' weights."""
    one, other = (load_file(folder / "weights.safetensors") for folder in (one, other))
    return max(float((one[name].double() - other[name].double()).abs().max()) for name in one)


if __name__ == "__main__":
    sys.exit(status_of(main))
