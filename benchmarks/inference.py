"""RTF and peak memory of inference, waveform in and text out, against SpeechBrain's Conformer behind `EncoderASR`.

    python benchmarks/inference.py RESULT_DIR [RESULT_DIR ...] --conformer RESULT_DIR --files FILE [FILE ...]

Each model runs eagerly, compiled, and as the ONNX files that `serenanet export` writes, in 32 and in 8 bits. For an
hparams file in a RESULT_DIR's place a network with random weights runs, which costs the same time and says nothing. All
transcribe the FILEs in the same padded batches by greedy CTC. One process for each number of threads holds all
contestants, which take turns: A B C A B C …. Memory is measured in processes of their own.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # no pool of compilers beside those that are measured
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from inference_contestants import BASE, FORMS, gather, open_contestant  # noqa: E402
from inference_report import plot, tables  # noqa: E402
from measure import alternate, in_process_of_its_own, report_peak  # noqa: E402
from tqdm import tqdm  # noqa: E402

from serenanet_modules.analysis.scoring import score  # noqa: E402
from serenanet_modules.data.audio import SAMPLE_RATE, load  # noqa: E402
from serenanet_modules.errors import UserError  # noqa: E402
from serenanet_modules.runtime.provenance import provenance  # noqa: E402

LIMITS = {"seconds": 1200.0, "bytes": 12 * 2**30}


def main(argv=None):
    options = parse(argv)
    if options.child:
        case = json.loads(options.child)
        return {"time": time_all, "peak": peak}[case["task"]](case)
    found = {"options": vars(options) | {"out": str(options.out)}, **provenance()}
    with tempfile.TemporaryDirectory() as work:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = f"{work}/compiled"  # nothing has been compiled before
        try:
            found["contestants"], found["absent"] = gather(options, Path(work))
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        options.out.mkdir(parents=True, exist_ok=True)
        time_them(found, options)
        measure_memory(found, options)
    text = tables(found)
    (options.out / "inference.md").write_text(text, encoding="utf-8")
    print("\n" + text)
    plot(found, options.out / "inference.png")
    return int(any(row["wrong"] for row in found["rows"]))


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="RESULT_DIR", help="or hparams files, joined by +: random weights")
    parser.add_argument(
        "--conformer",
        metavar="RESULT_DIR",
        default=str(ROOT / "hparams/conformer_ctc.yaml"),
        help="run by EncoderASR (hparams/conformer_ctc.yaml with random weights)",
    )
    parser.add_argument("--files", nargs="+", metavar="FILE", default=[], help="audio")
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS))
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8], help="sizes of batches (1 8)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="(1 2)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "benchmarks")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if not options.child and not (options.models and options.files):
        parser.error("give a RESULT_DIR, and audio with --files")
    if min([options.repeats, *options.batch, *options.threads]) < 1:
        parser.error("--batch, --threads and --repeats are at least 1")
    return options


def time_them(found, options):
    """Add a row for each contestant at each number of threads and size of batches."""
    found["seconds"], found["rows"] = [len(load(file)) / SAMPLE_RATE for file in options.files], []
    case = {"task": "time", "contestants": found["contestants"], "files": options.files, "batch": options.batch}
    for threads in options.threads:
        found["rows"] += in_turns(case | {"threads": threads, "repeats": options.repeats})
        write(found, options.out)
    judge(found["rows"], found["contestants"], sum(found["seconds"]))
    write(found, options.out)


def measure_memory(found, options):
    """Add its peak to each row."""
    for row in tqdm(found["rows"], desc="memory", unit="case"):
        if "skipped" not in row:
            case = {"task": "peak", "contestant": found["contestants"][row["contestant"]], "batch": row["batch"]}
            case |= {"threads": row["threads"], "files": options.files}
            row["memory"] = in_process_of_its_own(__file__, case, LIMITS)["forward"]
            write(found, options.out)


def write(found, out):
    """Keep what has been measured so far."""
    (out / "inference.json").write_text(json.dumps(found, indent=1), encoding="utf-8")


# ---- measuring ----------------------------------------------------------------------------------------------------


class Pass:
    """All files once through a contestant, in batches of files of like length.

    Attributes
    ----------
    texts : list of str
        Of the last call, in the order of the files.
    cpu : list of float
        CPU seconds of each call, all threads together.
    """

    def __init__(self, transcribe, audio, size):
        order = sorted(range(len(audio)), key=lambda i: len(audio[i]))
        self._transcribe, self._batches = transcribe, []
        self.texts, self.cpu = [""] * len(audio), []
        for begin in range(0, len(order), size):
            chosen = order[begin : begin + size]
            lengths = np.array([len(audio[i]) for i in chosen])
            padded = np.zeros((len(chosen), lengths.max()), np.float32)
            for row, i in zip(padded, chosen, strict=True):
                row[: len(audio[i])] = audio[i]
            self._batches.append((chosen, padded, lengths))

    def __call__(self):
        before = time.process_time()
        for chosen, padded, lengths in self._batches:
            for i, text in zip(chosen, self._transcribe(padded, lengths), strict=True):
                self.texts[i] = text
        self.cpu.append(time.process_time() - before)

    def largest(self):
        """The same of the batch with most samples alone."""
        self._batches = [max(self._batches, key=lambda batch: batch[1].size)]
        return self


def in_turns(case):
    """The rows of `time_all`, from a process of its own."""
    command = [sys.executable, __file__, "--child", json.dumps(case)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"the process with {case['threads']} thread(s) ended with status {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def prepare(threads):
    """Imports that are nobody's time or memory, and the number of threads, which `OnnxFile` takes from torch."""
    torch.set_num_threads(threads)
    for name in ("torch._inductor.compile_fx", "serenanet_modules.export.onnx_file"):
        if importlib.util.find_spec("onnxruntime") or name.startswith("torch"):
            importlib.import_module(name)
    torch._dynamo.config.recompile_limit = 256  # many networks share a class's code


def time_all(case):
    """Print the rows of all contestants at one number of threads."""
    prepare(case["threads"])
    audio = [load(file) for file in case["files"]]
    opened, openings, failed = {}, {}, {}
    for number, contestant in enumerate(case["contestants"]):
        began = time.perf_counter()
        opened[number] = open_contestant(contestant)
        openings[number] = time.perf_counter() - began
    rows = []
    for size in case["batch"]:
        passes, first = {}, {}
        for number, transcribe in opened.items():
            contestant, began = case["contestants"][number], time.perf_counter()
            try:
                run = Pass(transcribe, audio, size)
                run()
                passes[number], first[number] = run, time.perf_counter() - began
            except RuntimeError as error:  # such as no C++ compiler for torch.compile
                failed[number] = str(error).strip().partition("\n")[0]
            print(f"{case['threads']} thread(s), batch {size}: {contestant['model']}, {contestant['form']} "
                  f"{failed.get(number, 'warm')}", file=sys.stderr)  # fmt: skip
        times = alternate(passes, case["repeats"], "cpu", first, budget=float(1 << 30))
        for number in opened:
            row = {"contestant": number, "threads": case["threads"], "batch": size}
            if number in failed:
                rows.append(row | {"skipped": failed[number]})
                continue
            cores = sum(passes[number].cpu[-case["repeats"] :]) / sum(times[number]["all"])
            row |= {"all": times[number]["all"], "cores": cores, "texts": passes[number].texts}
            rows.append(row | {"opening": openings[number], "first": first[number]})
    print(json.dumps(rows))
    return 0


def peak(case):
    """Print the peak of memory from opening a contestant to the texts of its largest batch."""
    prepare(case["threads"])
    audio = [load(file) for file in case["files"]]

    def from_the_beginning():
        Pass(open_contestant(case["contestant"]), audio, case["batch"]).largest()()

    report_peak({"forward": lambda: from_the_beginning}, case)
    return 0


def judge(rows, contestants, seconds):
    """Add RTFs, ratios to the Conformer of the same turns, and how texts differ from those of a model's first row."""
    bases = {(row["threads"], row["batch"]): row for row in rows if contestants[row["contestant"]]["form"] == BASE}
    first = {}
    for row in rows:
        contestant, row["wrong"] = contestants[row["contestant"]], False
        if "skipped" in row:
            continue
        expected = first.setdefault(contestant["model"], row["texts"])
        row["rtf"] = statistics.median(row["all"]) / seconds
        base = bases[row["threads"], row["batch"]]
        row["ratios"] = [theirs / own for theirs, own in zip(base["all"], row["all"], strict=True)]
        row["different"] = [i for i, pair in enumerate(zip(expected, row["texts"], strict=True)) if len({*pair}) > 1]
        counts = score(expected, row["texts"], "char").total
        row["edits"] = counts.errors / max(1, counts.length)
        row["wrong"] = bool(row["different"]) and contestant["trained"] and contestant["form"] != "int8"


if __name__ == "__main__":
    sys.exit(main())
