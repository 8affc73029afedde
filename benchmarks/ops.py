"""Time and memory of state-space operations: our backends, the public alternatives and whole layers, side by side.

Run it from the checkout; README.md beside this file says what it measures and how.
"""

import argparse
import dataclasses
import json
import math
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: a spinning thread takes the core of another
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from contestants import FRAMES_PER_SECOND, Absent, Sizes, groups  # noqa: E402
from measure import PASSES, alternate, in_process_of_its_own, once, peak_on_cuda, report_peak  # noqa: E402
from report import markdown, plots, ratio_lines  # noqa: E402

from serenanet_modules.runtime.provenance import device_name, provenance  # noqa: E402

LENGTHS = {"cpu": [100, 500, 1500, 4000, 8000], "cuda": [500, 1500, 4000, 8000, 16000, 32000]}
SECONDS = [5, 10, 20, 40, 80, 120]
TOLERANCE = {"float32": 1e-4, "bfloat16": 5e-2, "float16": 1e-2}
TF32 = 5e-3  # Triton's float32 products on CUDA, unless TRITON_F32_DEFAULT=ieee


def main(argv=None):
    options = _parse(argv)
    if options.child:
        return _child(json.loads(options.child))
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    settings = {key: value for key, value in vars(options).items() if key not in ("out", "child")}
    found = {"options": settings, **provenance(), "device": device_name(options.device)}
    found["groups"], wrong = {}, []
    for name, group in groups(options.device).items():
        if name in options.groups:
            found["groups"][name] = _run_group(name, group, options, wrong)
            (options.out / "ops.json").write_text(json.dumps(found, indent=1))
    text = markdown(found)
    (options.out / "ops.md").write_text(text)
    print("\n" + text)
    for line in ratio_lines(found):
        print(line)
    for path in plots(found, options.out):
        print("plot", path)
    for line in wrong:
        print("WRONG", line)
    return 1 if wrong else 0


def _parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--dtype", choices=list(TOLERANCE), default="float32", help="layers: autocast to it")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--lengths", type=int, nargs="+", help="steps of the scans and convolutions")
    parser.add_argument("--seconds", type=int, nargs="+", default=SECONDS, help="speech for the layers, 40 ms a frame")
    parser.add_argument("--sizes", type=int, nargs=3, default=dataclasses.astuple(Sizes()), metavar=("B", "D", "N"))
    names = list(groups("cpu"))
    parser.add_argument("--groups", nargs="+", choices=names, default=names)
    parser.add_argument("--limit_seconds", type=float, default=60, help="a case that takes longer is skipped")
    parser.add_argument("--limit_gb", type=float, default=8, help="a case that needs more memory is skipped")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "benchmarks")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    options.lengths = options.lengths or LENGTHS[options.device]
    return options


def _run_group(name, group, options, wrong):
    """Rows of one table: name, length, pass -> seconds and bytes, or why it was skipped."""
    print(f"\n{group.title}", flush=True)
    functions, absent = {}, {}
    for contestant, build in group.builders.items():
        try:
            functions[contestant] = _moved(build(), options.device)
        except Absent as reason:
            absent[contestant] = str(reason)
            print(f"  {contestant}: {reason}", flush=True)
    lengths = (
        [FRAMES_PER_SECOND * s for s in options.seconds]
        if name == "layers"
        else sorted({*options.lengths, *group.lengths})
    )
    functions, errors = _check(name, group, functions, min(*lengths, 200), options, absent, wrong)
    rows = []
    for length in lengths:
        rows += _run_length(name, group, functions, length, options, rows)
    parameters = {n: sum(p.numel() for p in f.layer.parameters()) for n, f in functions.items() if hasattr(f, "layer")}
    return {
        "title": group.title,
        "rivals": [rival for rival in group.rivals if rival in functions],
        "absent": absent,
        "largest relative difference": errors,
        "parameters": parameters,
        "rows": rows,
    }


def _moved(function, device):
    if hasattr(function, "layer"):
        function.layer.to(device)
    return function


def _gradient(output):
    drawn = torch.randint(-4, 5, output.shape, generator=torch.Generator().manual_seed(1))  # exact in any type
    return drawn.to(output)


def _check(name, group, functions, length, options, absent, wrong):
    """Drop what cannot run; compare outputs and gradients of the rest with the group's truth in float64."""
    inputs, autocast = _inputs(name, group, length, options)
    able, results = {}, {}
    for contestant, function in functions.items():
        try:
            results[contestant] = _both(function, inputs, autocast, options.device)
        except Exception as error:  # a contestant's own failure is a line in the report, whatever it is
            absent[contestant] = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
            print(f"  {contestant}: {absent[contestant]}", flush=True)
            continue
        able[contestant] = function
    allowed = TF32 if options.device == "cuda" and options.dtype == "float32" else TOLERANCE[options.dtype]
    errors = {}
    if group.truth in able:
        exact = {key: tensor.detach().double().requires_grad_() for key, tensor in inputs.items()}
        truth = _both(able[group.truth], exact, None, options.device)
        errors = {n: max(map(_difference, result, truth)) for n, result in results.items()}
    for contestant, error in errors.items():
        print(f"  {contestant}: largest relative difference from float64 {error:.1e}", flush=True)
        if not error <= allowed:
            wrong.append(f"{group.title}, {contestant}: {error:.1e} off at length {length}")
    return able, errors


def _both(function, inputs, autocast, device):
    """Output and gradients; the gradient that enters is the same for all, rounded alike."""
    output = once(function, inputs, None, "forward", autocast, device)
    return [output, *once(function, inputs, _gradient(output), PASSES[1], autocast, device)]


def _difference(value, truth):
    if value is None:
        return math.inf
    return float((value.double() - truth).abs().max() / truth.abs().max().clamp(min=1e-30))


def _inputs(name, group, length, options):
    dtype = getattr(torch, options.dtype)
    half = dtype if name == "layers" and dtype != torch.float32 else None
    return group.inputs(Sizes(*options.sizes), length, dtype, options.device), half


def _run_length(name, group, functions, length, options, before):
    """All contestants at one length: memory and a first time (each alone), then the timed turns."""
    rows, calls, expected = [], {}, {}
    inputs, autocast = _inputs(name, group, length, options)
    for contestant, function in functions.items():
        skip = _foreseen(contestant, length, before, options)
        peaks = skip if all(skip.values()) else _peaks(name, contestant, function, inputs, length, autocast, options)
        gradient = None
        for way in PASSES:
            row = {"name": contestant, "length": length, "pass": way, **(skip[way] or peaks[way])}
            rows.append(row)
            if "skipped" in row:
                continue
            if way != "forward":
                with torch.no_grad():
                    gradient = _gradient(once(function, inputs, None, "forward", autocast, options.device))
            expected[contestant, way] = row.get("seconds")
            arguments = (function, inputs, gradient, way, autocast, options.device)
            calls[contestant, way] = lambda arguments=arguments: once(*arguments)
    times = alternate(calls, options.repeats, options.device, expected)
    for row in rows:
        measured = times.get((row["name"], row["pass"]))
        row.pop("seconds", None)
        if measured:
            row["seconds"] = measured["median"]
            row["all"] = [round(s, 6) for s in measured["all"]]
        print("  " + _line(row), flush=True)
    return rows


def _foreseen(contestant, length, before, options):
    """By pass, the reason to skip a case that a shorter one already shows to be too slow, or None."""
    reasons = dict.fromkeys(PASSES)
    for row in before:
        if row["name"] == contestant:
            if "skipped" in row:
                reasons[row["pass"]] = {
                    "skipped": row["skipped"].removesuffix(" at a shorter length") + " at a shorter length"
                }
            elif row["seconds"] * length / row["length"] > options.limit_seconds:
                reasons[row["pass"]] = {"skipped": f"would take over {options.limit_seconds:.0f} s"}
    return reasons


def _peaks(name, contestant, function, inputs, length, autocast, options):
    if options.device == "cpu":
        case = {"group": name, "name": contestant, "length": length}
        case.update({key: getattr(options, key) for key in ("sizes", "dtype", "threads", "device")})
        limits = {"seconds": options.limit_seconds, "bytes": int(options.limit_gb * 2**30)}
        return in_process_of_its_own(__file__, case, limits)
    found = {}
    for way in PASSES:
        try:
            gradient = _gradient(once(function, inputs, None, "forward", autocast, options.device))
            call = lambda: once(function, inputs, gradient, way, autocast, options.device)  # noqa: B023, E731
            found[way] = {"bytes": peak_on_cuda(call)}
        except torch.OutOfMemoryError:
            found[way] = {"skipped": "out of GPU memory"}
        except RuntimeError as error:
            found[way] = {"skipped": str(error).splitlines()[0][:200]}
        torch.cuda.empty_cache()
    return found


def _child(case):
    """Peak memory of one case, after a short call that loads what it needs."""
    torch.set_num_threads(case["threads"])
    options = argparse.Namespace(**case)
    group = groups(case["device"])[case["group"]]
    function = group.builders[case["name"]]()
    inputs, autocast = _inputs(case["group"], group, 8, options)
    arguments = (autocast, case["device"])
    shape = once(function, inputs, None, "forward", *arguments).shape
    once(function, inputs, torch.ones(shape), PASSES[1], *arguments)
    inputs, _ = _inputs(case["group"], group, case["length"], options)
    produced = {}

    def forward():
        produced["shape"] = once(function, inputs, None, "forward", *arguments).shape

    def prepare_backward():
        gradient = torch.ones(produced["shape"])
        return lambda: once(function, inputs, gradient, PASSES[1], *arguments)

    report_peak({"forward": lambda: forward, PASSES[1]: prepare_backward}, case)
    return 0


def _line(row):
    where = f"{row['name']:<18} {row['length']:>6} {row['pass']:<17}"
    if "skipped" in row:
        return f"{where} skipped: {row['skipped']}"
    return f"{where} {1000 * row['seconds']:>10.2f} ms {row['bytes'] / 2**20:>9.1f} MB"


if __name__ == "__main__":
    sys.exit(main())
