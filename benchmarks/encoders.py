"""Time and memory of whole encoders and recognisers against the length of speech: what chunking really saves.

    python benchmarks/encoders.py --seconds 5 15 30 60 120 --out results/benchmarks
    python benchmarks/encoders.py --contestants Conformer "Fast Conformer" --base Conformer --seconds 15 30 60

Every contestant is built from its hparams file and reads the same random waveforms. The networks are untrained, so
learned chunkings are given boundaries at random, as many as ``--compression`` asks for; all else of the routing runs
as it is. Contestants take turns, A B C A B C …; medians; memory comes after all times. The arithmetic limit counts
layers: with n of N at chunk rate and a compression of c it is N / (N - n + n / c). The share of the peak is what torch
counts of a pass, products of matrices and convolutions but no scans, against the rate of a large product of matrices.
"""

import argparse
import functools
import json
import os
import statistics
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from measure import alternate, in_process_of_its_own, matrix_rate, operations, peak_on_cuda, report_peak  # noqa: E402
from tqdm import tqdm  # noqa: E402

from serenanet_modules.config.hparams import Hparams  # noqa: E402
from serenanet_modules.lobes.blocks import DynamicChunking, FixedPooling  # noqa: E402
from serenanet_modules.lobes.encoders import ChunkedEncoder  # noqa: E402
from serenanet_modules.runtime.provenance import device_name, provenance  # noqa: E402

CONTESTANTS = {
    "ConMamba": ("conmamba_ctc", {}),
    "H-Mamba 8 + 4": ("hmamba", {}),
    "H-Mamba 3 + 9": ("hmamba_early", {}),
    "pooling 3 + 9": ("hmamba_pooling", {}),
    "Conformer": ("conformer_ctc", {"encoder.n_layers": 12, "encoder.d_ffn": 1024}),
    "Fast Conformer": ("fast_conformer", {"d_model": 176, "encoder.n_layers": 11}),
    "Fast Conformer, window": ("fast_conformer", {"d_model": 176, "encoder.n_layers": 11, "encoder.window": 128}),
    "Conformer 19 M": ("conformer_ctc", {"d_model": 224, "encoder.n_layers": 12, "encoder.d_ffn": 1280}),
    "Fast Conformer 19 M": ("fast_conformer", {}),
}
USUAL = list(CONTESTANTS)[:5]
PARTS = ("encoder", "front end and encoder", "whole model", "training step")
RATE = 16000
CHARACTERS_PER_SECOND = 12  # of the training step's targets
LIMITS = {"seconds": 300.0, "bytes": 12 * 2**30}


def main(argv=None):
    options = parse(argv)
    torch.set_num_threads(options.threads)
    if options.child:
        return child(json.loads(options.child))
    names = options.contestants
    models = {name: build(name, options.compression).to(options.device) for name in names}
    found = {
        "options": vars(options) | {"out": str(options.out)},
        **provenance(),
        "device": device_name(options.device),
    }
    found["limits"] = {name: limit(model, options.compression) for name, model in models.items()}
    found["parameters"] = {name: sum(p.numel() for p in model.parameters()) for name, model in models.items()}
    options.out.mkdir(parents=True, exist_ok=True)
    found["peak"], found["rows"] = matrix_rate(options.device), []
    for seconds in options.seconds:
        found["rows"] += measure(models, seconds, options)
        write(found, options.out)
    for row in tqdm(found["rows"], desc="memory"):
        row["bytes"] = peak(models[row["name"]], row, options)
        write(found, options.out)
    text = tables(found)
    (options.out / "encoders.md").write_text(text, encoding="utf-8")
    print("\n" + text)
    plot(found, options.out / "encoders.png")
    return 0


def write(found, out):
    """Keep what has been measured so far."""
    (out / "encoders.json").write_text(json.dumps(found, indent=1), encoding="utf-8")


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--contestants", nargs="+", choices=list(CONTESTANTS), default=USUAL)
    parser.add_argument("--base", choices=list(CONTESTANTS), default="ConMamba", help="that others are compared with")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seconds", type=int, nargs="+", default=[5, 15, 30, 60, 120], help="of each utterance")
    parser.add_argument("--batch", type=int, default=1, help="utterances")
    parser.add_argument("--compression", type=float, default=2.0, help="frames per chunk")
    parser.add_argument("--repeats", type=int, default=3, help="of the longest utterance; shorter ones get up to 25")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "benchmarks")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


# ---- contestants --------------------------------------------------------------------------------------------------


def build(name, compression):
    """The model of a contestant, in evaluation mode; chunks as long as asked for."""
    file, overrides = CONTESTANTS[name]
    hparams = Hparams.load(ROOT / "hparams" / f"{file}.yaml", {})
    needed = {"dataset": "none", "locale": "none", "data_folder": "none", "n_units": 32}
    hparams.override([(key, str(value)) for key, value in (needed | overrides).items()])
    torch.manual_seed(0)
    built = hparams.build()
    for part in built["model"].modules():
        if isinstance(part, FixedPooling):
            part.stride = round(compression)
        elif isinstance(part, DynamicChunking):
            at_random(part, compression)
    return built["model"].eval()


def at_random(chunking, compression):
    """Let one in ``compression`` frames, chosen at random, be a boundary, after the routing has computed its own."""
    learned = chunking.probabilities

    @functools.cache
    def drawn(batch, frames, device):
        order = torch.rand(batch, frames, generator=torch.Generator().manual_seed(0))
        order[:, 0] = 0  # a chunk begins with the first frame
        rank = order.argsort(dim=1).argsort(dim=1)
        return torch.where(rank < round(frames / compression), 0.9, 0.1).to(device)

    def probabilities(before, x):
        p = learned(before, x)
        return p * 0 + drawn(*p.shape, p.device)

    chunking.probabilities = probabilities


def limit(model, compression):
    """How many times faster than all layers at frame rate, if layers were all that costs."""
    encoder = model.acoustic.encoder
    if not isinstance(encoder, ChunkedEncoder):
        return 1.0
    outer, inner = len(encoder.outer.layers), len(encoder.inner.layers)
    return (outer + inner) / (outer + inner / compression)


def calls(model, seconds, options):
    """By part, a function that runs it once."""
    generator = torch.Generator().manual_seed(1)
    wavs = 0.1 * torch.randn(options.batch, seconds * RATE, generator=generator).to(options.device)
    lengths = torch.full((options.batch,), wavs.shape[1], device=options.device)
    targets = torch.randint(1, 32, (options.batch, seconds * CHARACTERS_PER_SECOND), generator=generator)
    targets, sizes = targets.to(options.device), torch.full((options.batch,), targets.shape[1], device=options.device)
    acoustic = model.acoustic
    with torch.no_grad():
        features = acoustic.features(wavs, lengths)
        x, frames, *_ = acoustic.frontend(*features)

    def encoder():
        with torch.no_grad():
            return acoustic.encoder(x, frames)

    def front():
        with torch.no_grad():
            return acoustic.encoder(*acoustic.frontend(*features)[:2])

    def whole():
        with torch.no_grad():
            return model(wavs, lengths)

    def step():
        out = model(wavs, lengths)
        loss = torch.nn.functional.ctc_loss(out.decoder.transpose(0, 1), targets, out.lengths, sizes)
        loss.backward()
        model.zero_grad()

    return {
        name: call for name, call in zip(PARTS, (encoder, front, whole, step), strict=True) if name in options.parts
    }


# ---- measuring ----------------------------------------------------------------------------------------------------


def measure(models, seconds, options):
    """Rows of one length: name, seconds, part and time."""
    by_name = {name: calls(model, seconds, options) for name, model in models.items()}
    rows = []
    for part in options.parts:
        runs = {name: parts[part] for name, parts in by_name.items()}
        repeats = min(
            25, round(options.repeats * max(options.seconds) / seconds)
        )  # about the same time for each length
        times = alternate(runs, repeats, options.device, {}, budget=60.0)
        for name, time in times.items():
            row = {"name": name, "seconds": seconds, "part": part, "time": time["median"], "all": time["all"]}
            row["operations"] = operations(runs[name])
            rows.append(row)
            print(f"{seconds:>4} s {part:<14} {name:<14} {1e3 * row['time']:>9.1f} ms", flush=True)
    return rows


def peak(model, row, options):
    """Bytes beyond what is there before the call, on a CPU in a process of its own; None over the limits."""
    part = row["part"]
    if options.device == "cuda":
        return peak_on_cuda(calls(model, row["seconds"], options)[part])
    case = {"name": row["name"], "speech": row["seconds"], "part": part}
    case |= {"batch": options.batch, "device": options.device}
    case |= {"compression": options.compression, "threads": options.threads}
    return in_process_of_its_own(__file__, case, LIMITS).get(part, {}).get("bytes")


def child(case):
    """Peak memory of one case, after a short call that loads what it needs."""
    torch.set_num_threads(case["threads"])
    options = argparse.Namespace(**case, parts=[case["part"]])
    model = build(case["name"], case["compression"])
    calls(model, 1, options)[case["part"]]()
    call = calls(model, case["speech"], options)[case["part"]]
    report_peak({case["part"]: lambda: call}, case)
    return 0


# ---- what it found ------------------------------------------------------------------------------------------------


def tables(found):
    """Ratios beside their limits, times and memory."""
    options = found["options"]
    names = options["contestants"]
    threads = "" if options["device"] == "cuda" else f", {found['threads']} thread(s)"
    parts = [
        "# Encoders: time and memory against the length of speech\n",
        f"{found['device']}, {found['processor']}{threads}; torch {found['packages']['torch']}; "
        f"batch {options['batch']}, compression {options['compression']:g}; "
        f"medians of {options['repeats']} to 25 alternating repeats, ratios pair by pair.\n",
        "Parameters: "
        + ", ".join(f"{name} {count / 1e6:.2f} M" for name, count in found["parameters"].items())
        + ".\n",
    ]
    for part in options["parts"]:
        parts.append(f"## {part.capitalize()}\n")
        if options["base"] in names:
            parts += [f"How many times faster than {options['base']}:\n", table(found, part, "limit", ratio)]
        parts += ["Milliseconds:\n", table(found, part, None, lambda row, _: f"{1e3 * row['time']:.0f}")]
        share = f"Share of the peak, {found['peak'] / 1e9:.0f} GFLOP/s, in percent:\n"
        parts += [share, table(found, part, None, lambda row, _: f"{percent(row, found):.0f}")]
        parts += ["Peak memory above that before the call, MiB:\n", table(found, part, None, memory)]
    return "\n".join(parts)


def table(found, part, extra, cell):
    """One row per contestant, one column per length."""
    lengths = found["options"]["seconds"]
    heads = [*(["limit"] if extra else []), *(f"{s} s" for s in lengths)]
    lines = ["| | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for name in found["options"]["contestants"]:
        rows = {row["seconds"]: row for row in found["rows"] if row["name"] == name and row["part"] == part}
        base = {
            row["seconds"]: row
            for row in found["rows"]
            if row["name"] == found["options"]["base"] and row["part"] == part
        }
        cells = [f"{found['limits'][name]:.2f}"] if extra else []
        cells += [cell(rows[s], base.get(s)) for s in lengths if s in rows]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def ratio(row, base):
    """The median over turns; a slow contestant may have taken fewer of them than the base."""
    return f"{statistics.median(b / own for b, own in zip(base['all'], row['all'], strict=False)):.2f}"


def percent(row, found):
    """What was counted of a pass, of what the machine could have done in its time."""
    return 100 * row["operations"] / (row["time"] * found["peak"])


def memory(row, _):
    return "over the limit" if row["bytes"] is None else f"{row['bytes'] / 2**20:.0f}"


def plot(found, path):
    """Time against seconds of speech, one panel for each part, and memory below."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    options = found["options"]
    figure, panels = pyplot.subplots(
        2, len(options["parts"]), figsize=(4.5 * len(options["parts"]), 7.5), sharex=True, squeeze=False
    )
    for column, part in zip(panels.T, options["parts"], strict=True):
        for number, name in enumerate(options["contestants"]):
            rows = [row for row in found["rows"] if row["name"] == name and row["part"] == part]
            style = {"label": name, "color": f"C{number}", "marker": "osv^D"[number % 5], "markersize": 4}
            column[0].loglog([r["seconds"] for r in rows], [r["time"] for r in rows], **style)
            told = [r for r in rows if r["bytes"]]
            column[1].loglog([r["seconds"] for r in told], [r["bytes"] / 2**20 for r in told], **style)
        column[0].set_title(part)
        column[1].set_xlabel("seconds of speech")
        column[1].set_xticks(options["seconds"], [str(s) for s in options["seconds"]])
        for panel in column:
            panel.minorticks_off()
            panel.yaxis.set_major_formatter("{x:g}")
            panel.grid(True, alpha=0.3)
    panels[0, 0].set_ylabel("seconds")
    panels[1, 0].set_ylabel("MiB at the peak")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", ncols=len(labels), frameon=False)
    figure.tight_layout(rect=(0, 0, 1, 0.95))
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


if __name__ == "__main__":
    sys.exit(main())
