"""A suite's files, and runs that do in a moment what trainings do in hours."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml.comments import CommentedMap

from tests.support.tiny import ROOT

RECIPE = ROOT / "recipes/CommonVoice/sw"
SUITE = ROOT / "hparams/ablations/suite.yaml"
DATA = ["--data_folder", "/data"]
HEAD = """
base: [../serenanet.yaml, ../sizes/serenanet/small.yaml]
pretraining: ../pessl.yaml
variants:"""

# argv: folder, what it does. It writes begun, and checkpoint or result as a training would.
SCRIPT = """
import os, signal, sys, time
from pathlib import Path
folder, act = Path(sys.argv[1]), sys.argv[2]
(folder / "hyperparams.yaml").touch()
with open(folder / "starts", "a") as file:
    print(os.environ.get("SERENANET_CORES"), os.environ.get("CUDA_VISIBLE_DEVICES"), file=file)
def save(number, frame):
    if act != "stubborn":
        (folder / "checkpoint").touch()
        sys.exit(128 + number)
signal.signal(signal.SIGTERM, save)
(folder / "ready").touch()
if act == "fail":
    print("loading\\rloading\\nerror: the disk is full\\nbye", flush=True)
    sys.exit(2)
if act == "crash":
    raise ValueError("no such thing")
if act in ("wait", "stubborn") and not (folder / "checkpoint").exists():
    time.sleep(60)
if act == "pause":
    time.sleep(0.3)
(folder / "result.json").touch()
"""


def make_suite(folder, **variants):
    """A suite of a few variants, {name: what it starts from}, beside copies of the shipped files; its file."""
    shutil.copytree(ROOT / "hparams", folder / "hparams", dirs_exist_ok=True)
    file = folder / "hparams/ablations" / f"{'_and_'.join(variants)}.yaml"
    lines = [f"    {name}: {start}" for name, start in variants.items()]
    file.write_text("\n".join([HEAD, *lines, ""]))
    return file


@dataclass(eq=False)
class FakeRun:
    """A run that does what it is told: ok, fail, crash, wait (until asked to end), pause or stubborn."""

    name: str
    folder: Path
    act: str = "ok"
    needs: "FakeRun | None" = None
    epochs: int = 3

    @property
    def command(self):
        return [sys.executable, "-S", "-c", SCRIPT, str(self.folder), self.act]

    @property
    def output(self):
        return self.folder / "output.txt"

    @property
    def starts(self):
        """Cores and GPUs of each start."""
        file = self.folder / "starts"
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []

    def state(self):
        if (self.folder / "result.json").exists():
            return "finished"
        return "begun" if (self.folder / "hyperparams.yaml").exists() else "new"


def differences(one, other, path=()):
    """Dotted keys whose values differ, of parts of another class the part's own."""
    found = {}
    for key in [*one, *(key for key in other if key not in one)]:
        a, b, dotted = one.get(key), other.get(key), ".".join((*path, key))
        if isinstance(a, CommentedMap) and isinstance(b, CommentedMap) and a.tag.value == b.tag.value:
            found |= differences(a, b, (*path, key))
        elif getattr(a, "value", a) != getattr(b, "value", b) or tag(a) != tag(b):
            found[dotted] = ... if tag(b) else b
    return found


def tag(node):
    return getattr(getattr(node, "tag", None), "value", None)
