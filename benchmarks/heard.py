"""What a finished run hears in dev and test: the log-probabilities that benchmarks of decoding search."""

import argparse
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kept import read, write

from serenanet_modules.data.asked import candidates
from serenanet_modules.data.manifest import read_manifest
from serenanet_modules.data.preparation import Settings, prepare
from serenanet_modules.data.units import load_units
from serenanet_modules.inference.recognizer import Recognizer

SPLITS = ("dev", "test")


@dataclass(frozen=True)
class Heard:
    """The run's units, an n-gram model, the folder of what is kept and, by split, what `kept.read` gives of it."""

    units: Any
    arpa: Path
    kept: Path
    utterances: dict[str, list]


def parser(description):
    """A parser that knows the run, the data, the language model and where log-probabilities are kept."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("folder", help="a finished run of a recogniser with CTC")
    made.add_argument("data", help="as of serenanet evaluate")
    made.add_argument("--data-folder")
    made.add_argument("--lm", help="an ARPA file (the run's own)")
    made.add_argument("--kept", help="where the log-probabilities are kept for the next time")
    return made


@contextmanager
def heard(o):
    """The `Heard` that options of `parser` ask for; what was kept before is not heard again."""
    save = Path(o.folder) / "save"
    with tempfile.TemporaryDirectory() as work:
        kept = Path(o.kept or work)
        for split in SPLITS:
            if not (kept / f"{split}.npz").is_file():
                hear(o, split, kept / f"{split}.npz")
        utterances = {split: read(kept / f"{split}.npz") for split in SPLITS}
        yield Heard(load_units(save / "units"), Path(o.lm or save / "lm.arpa"), kept, utterances)


def hear(o, split, path):
    """Keep the log-probabilities of a split."""
    recognizer = Recognizer.from_folder(o.folder)
    chosen = candidates(o.data, recognizer.settings["locale"], o.data_folder, split)

    def rows(pieces):
        return [recognizer.posteriors([piece])[1][0].numpy() for piece in pieces]

    with tempfile.TemporaryDirectory() as work:
        prepared = prepare(chosen, Path(work), Settings(), progress=False)
        utterances = read_manifest(prepared.manifest)
        places = [prepared.folder / u.path for u in utterances]
        pieces = recognizer.network.read(places, rows, recognizer.settings["piece_seconds"])
        found = [[row for row in part if row is not None] for _, part in pieces]
    write(path, [(u.id, u.text, u.duration, rows) for u, rows in zip(utterances, found, strict=True)])
