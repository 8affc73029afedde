"""``serenanet benchmark``."""

import json
import random
import re
import subprocess
import sys
import time
from pathlib import Path

from serenanet_modules.cli.opening import add_context, add_quantize
from serenanet_modules.cli.values import add_out, count, pairs, place, positive
from serenanet_modules.errors import UserError
from serenanet_modules.runtime.amounts import counted
from serenanet_modules.runtime.files import read_json, sha256
from serenanet_modules.runtime.precision import FOUR_BITS

OUT = Path("benchmark")
READ = (".json", ".safetensors", ".txt", ".model", ".jinja")  # files of a folder of transformers, by how they end


def add(commands, name):
    command = commands.add_parser(
        name,
        help="error rates, speed and memory of several models on the same speech",
        epilog="Further --key value pairs are the recipe's, such as --language sw_ke.",
    )
    command.add_argument(
        "models",
        type=place,
        metavar="MODEL",
        nargs="+",
        help="a result folder, or a folder of transformers: Whisper, or wav2vec 2.0, HuBERT, WavLM with CTC",
    )
    command.add_argument("data", metavar="MANIFEST|RECIPE", help="as `serenanet evaluate` takes it")
    command.add_argument("--split", metavar="NAME", help="a set, or all dev, test or train sets (test)")
    command.add_argument("--data-folder", nargs="+", metavar="DIR", help="as `serenanet evaluate` takes it")
    command.add_argument("--locale", required=True, help="language whose text rules are used, for all models")
    command.add_argument("--max-samples", type=count, metavar="N", help="utterances, drawn at random; by default all")
    command.add_argument("--speed-runs", type=count, default=3, metavar="N", help="measurements of each model (3)")
    command.add_argument(
        "--batch-seconds", type=positive, default=120.0, metavar="S", help="audio in a batch, with padding (120)"
    )
    command.add_argument("--device", default="cpu", help="(cpu)")
    add_out(command, "DIR", f"table, picture, measurements; the same command goes on there ({OUT})", default=OUT)
    add_context(command)
    add_quantize(command, "; each model that can have them is measured both ways")
    command.set_defaults(run=_benchmark, takes_more=True)


def _benchmark(arguments):
    from serenanet_modules.analysis import speed
    from serenanet_modules.data.text import rule_of_others
    from serenanet_modules.runtime.files import write_text
    from serenanet_modules.runtime.outputs import Outputs

    a = arguments
    outputs = Outputs("benchmark", [*a.models, a.data, *(a.data_folder or ())], a.force)
    outputs.check_folder(a.out)
    folders = _named(a.models)
    told = {name: a.context if _writes_after_a_prompt(folder) else None for name, folder in folders.items()}
    models = {n: {"model": str(f), "sums": _files(f), "context": told[n]} for n, f in folders.items()}
    if a.context is not None and not any(context is not None for context in told.values()):
        raise UserError("--context: is for speech LLMs, and no model here is one; leave it out")
    models = _beside(models, a.quantize, a.device)
    outputs.begin(a.out)
    rows, root = _prepared(a)
    clips = [(u.id, str(root / u.path)) for u in rows]
    runs = {model: [] for model in models}
    for number in range(a.speed_runs):  # one of each model, then the next: what slows the machine slows all
        for name, model in models.items():
            runs[name].append(_measurement(a, name, model, number, clips))
    rule = rule_of_others(a.locale)
    for measured in runs.values():
        measured[0]["texts"] = {key: rule(text) for key, text in measured[0]["texts"].items()}
    table = speed.summary(runs, {u.id: u.text for u in rows})
    write_text(a.out / "benchmark.md", speed.markdown(table))
    write_text(a.out / "benchmark.csv", speed.as_csv(table))
    speed.draw(table, sum(len(u.text.split()) for u in rows), a.out / "wer_rtf.png")
    seconds = sum(u.duration for u in rows)
    told = f"{counted(len(rows), 'utterance')}, {seconds / 60:.1f} min"
    print(f"{told}; {counted(a.speed_runs, 'measurement')} of each model\n")
    print(speed.markdown(table))
    print(f"{a.out}: benchmark.md, benchmark.csv, wer_rtf.png")
    return 0


def _prepared(a):
    """Utterances that are measured, and the folder of their audio."""
    from serenanet_modules.data.asked import candidates
    from serenanet_modules.data.manifest import read_manifest
    from serenanet_modules.data.preparation import Settings, prepare

    asked = {"data": a.data, "locale": a.locale, "data_folder": a.data_folder, "split": a.split}
    prepared = prepare(candidates(**asked, options=pairs(a.more)), a.out / "prepared", Settings(), progress=False)
    rows = sorted(read_manifest(prepared.manifest), key=lambda u: u.id)
    if a.max_samples and a.max_samples < len(rows):
        rows = random.Random(0).sample(rows, a.max_samples)
    return rows, prepared.folder


def _named(models):
    """Folder by a name, the shortest end of its path that no other has."""
    paths = [Path(model).absolute() for model in dict.fromkeys(models)]
    names = {}
    for path in paths:
        ends = ["/".join(path.parts[-n:]) for n in range(1, len(path.parts))]
        others = [str(other) for other in paths if other != path]
        names[next((end for end in ends if not any(f"/{end}" in o[-len(end) - 1 :] for o in others)), str(path))] = path
    return names


def _files(folder):
    """SHA-256 by name of the files that make a model: a result folder's, or what transformers reads."""
    from serenanet_modules.runs.whole import sums_of

    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder")
    others = (path for path in sorted(folder.iterdir()) if path.suffix in READ and path.is_file())
    return sums_of(folder) or {path.name: sha256(path) for path in others}


def _writes_after_a_prompt(folder):
    """Whether a folder's model is a speech LLM."""
    from serenanet_modules.config.foreign import FILE, Document
    from serenanet_modules.runs.public_lm import CLASS, PART

    return (folder / FILE).is_file() and bool(Document.of_run(folder).arguments(PART, CLASS))


def _beside(models, quantize, device):
    """The models, and behind each that can have weights of fewer bits, where some are asked for, the same with those.

    Raises
    ------
    UserError
        For fewer bits that the device has not, and where none of the models can have them.
    """
    from serenanet_modules.inference.plain import is_plain
    from serenanet_modules.runtime.quantised import check_quantisation

    found, four = {}, quantize in FOUR_BITS
    if quantize:
        check_quantisation(quantize, device, "fp32")
    for name, model in models.items():
        folder = Path(model["model"])
        found[name] = {**model, "quantize": None}
        if quantize and (_writes_after_a_prompt(folder) if four else not is_plain(folder)):
            found[f"{name}, {quantize}"] = {**model, "quantize": quantize}
    if quantize and len(found) == len(models):
        whose = "speech LLMs" if four else "result folders and Whispers"
        raise UserError(f"--quantize {quantize}: is for {whose}, and no model here is one; leave it out")
    return found


def _measurement(a, name, model, number, clips):
    """What a process of its own measures; what an earlier call with the same request has measured is taken."""
    from serenanet_modules.runtime.files import write_json

    file = re.sub(r"[^\w.-]+", "_", name)
    out = a.out / "runs" / f"{file}-{number}.json"
    request = {**model, "device": a.device, "locale": a.locale}
    request |= {"clips": clips, "batch_seconds": a.batch_seconds, "out": str(out)}
    asked = out.with_suffix(".request.json")
    if out.is_file() and asked.is_file():
        earlier = read_json(asked)
        earlier.pop("spawned", None)
        if earlier == json.loads(json.dumps(request)):
            return read_json(out)
    out.unlink(missing_ok=True)
    write_json(asked, {**request, "spawned": time.time()})
    print(f"{name}: measurement {number + 1} of {a.speed_runs}", file=sys.stderr)
    ended = subprocess.run(
        [sys.executable, "-m", "serenanet_modules.inference.benchmark", str(asked)], stderr=subprocess.PIPE, text=True
    )
    if ended.returncode:
        said, folder = ended.stderr.strip().rpartition("\n")[2].removeprefix("error: "), model["model"]
        raise UserError(said if said.startswith(folder) else f"{folder}: cannot be measured ({said})")
    return read_json(out)
