"""A tiny corpus, a tiny model, and real runs of a recipe's train.py on them, each in a process of its own."""

import csv
import json
import multiprocessing
import os
import re
import runpy
import shutil
import signal
import sys
import time
from pathlib import Path

from safetensors.torch import load_file

from serenanet_modules.data.manifest import read_manifest
from serenanet_modules.data.sentences import Sentences
from serenanet_modules.data.units import load_units
from tests.support.presets import preset

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "tests/sample/CommonVoice/sw"
FILES = preset("serenanet/small")
SIZES = {"train": 24, "dev": 6, "test": 6}

# 10, 9 and 9 micro-batches in the epochs, so five optimizer steps of two; the last runs short where they are odd.
MODEL = """
    --d_model 32 --encoder.n_layers 1 --encoder.n_heads 2 --encoder.d_ffn 64 --frontend.gate_size 16
    --car.d_model 16 --car.d_state 4 --n_mels 40 --features.n_fft 512
""".split()
TRAINING = """
    --number_of_epochs 3 --max_batch_seconds 8.5 --lr 0.003 --warmup_steps 12 --checkpoints_to_average 2
    --num_workers 0 --beam_size 4 --preparation.jobs 1 --device=cpu
""".split()
HYBRID_MODEL = """
    --d_model 32 --encoder.n_layers 1 --encoder.d_ffn 64 --encoder.kernel_size 5 --frontend.channels [8,4] --pessl null
    --attention_decoder.n_layers 1 --attention_decoder.d_ffn 64 --n_mels 40 --features.n_fft 512 --vocab_size 40
    --attention_beam_size 3
""".split()
HYBRID = {"hparams": preset("conmamba_s2s"), "model": HYBRID_MODEL}
_TRUNK = MODEL[: MODEL.index("--car.d_model")] + MODEL[MODEL.index("--n_mels") :]
PESSL = {"hparams": preset("pessl/small"), "model": [*_TRUNK, "--locale", "mdw"]}  # no g2p: characters, and quicker
SHORT_PESSL = ("--number_of_epochs", 2, "--n_clusters", 12, "--cluster_frames", 2000)
PRELOADED = [  # what trainings import, at once or where they come to it
    *(f"serenanet_modules.training.{name}" for name in ("experiment", "brains.ctc", "brains.pessl")),
    *("serenanet_modules.data.recipe", "serenanet_modules.analysis.cluster_plots", "serenanet_modules.data.phonemes"),
    *("sklearn.cluster", "sklearn.linear_model", "sklearn.model_selection", "sklearn.pipeline"),
]
PAIRS = ("--grad_accumulation_factor", "2")  # the global batch of two processes


def make_corpus(folder, texts=None, sizes=SIZES, locale="sw"):
    """Lay out the first clips of the embedded corpus as a release of their own.

    Parameters
    ----------
    folder : Path
    texts : iterable of str, optional
        Sentences to stand in for the real ones, over all splits.
    sizes : dict of str to int
        Clips per split.
    locale : str
        What the lists call the language.
    """
    texts = None if texts is None else iter(texts)
    (folder / "clips").mkdir(parents=True)
    for split, size in sizes.items():
        rows = read_tsv(SAMPLE / f"{split}.tsv")[:size]
        for row in rows:
            shutil.copy2(SAMPLE / "clips" / row["path"], folder / "clips")
            row["locale"] = locale
            if texts is not None:
                row["sentence"] = next(texts)
        write_tsv(folder / f"{split}.tsv", rows)
    return folder


def read_tsv(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def write_tsv(path, rows):
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def command(corpus, folder, *more, recipe="sw", hparams=FILES, model=MODEL):
    """[train.py, files, arguments …] of a tiny run; what is prepared is shared by the runs on a corpus."""
    return [
        str(ROOT / f"recipes/CommonVoice/{recipe}/train.py"),
        *map(str, hparams),
        *("--data_folder", str(corpus), "--output_folder", str(folder)),
        *("--prepared_folder", str(corpus / "prepared"), *model, *TRAINING, *map(str, more)),
    ]


class Run:
    """A running train.py.

    The process is forked from a server that has done the imports already and runs nothing else, which saves four
    seconds a run; otherwise it is what the shell would start.

    Parameters
    ----------
    arguments : list of str
        From `command`.
    folder : Path
        The result folder; what the process prints goes beside it.
    hooks : tuple of callable
        Called with ``folder`` before the script starts, in the child process.
    environment : dict, optional
    """

    def __init__(self, arguments, folder, hooks=(), environment=None):
        self.folder = Path(folder)
        self.log = Path(f"{folder}.{time.monotonic_ns()}.out")
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        self.process = context.Process(
            target=_child, args=(arguments, self.folder, str(self.log), hooks, environment or {})
        )
        self.started = time.monotonic()
        self.process.start()

    def wait(self, seconds=100):
        """Exit status, negative for the signal that killed it."""
        self.process.join(seconds)
        self.ended = time.monotonic()
        if self.process.exitcode is None:
            self.process.kill()
            raise AssertionError(f"still running after {seconds} s:\n{self.output}")
        return self.process.exitcode

    def done(self):
        """Wait for a good end; returns itself."""
        assert self.wait() == 0, self.output
        return self

    def send(self, number, group=False):
        """Send a signal to the process, or to all processes of its group, its data loaders' workers too."""
        (os.killpg if group else os.kill)(self.process.pid, number)

    def kill(self):
        """SIGKILL a process that must not have ended by itself."""
        self.send(signal.SIGKILL)
        assert self.wait() == -signal.SIGKILL, self.output

    def until(self, condition, seconds=60):
        """Wait until ``condition()`` holds; the process must not end before."""
        limit = time.monotonic() + seconds
        while not condition():
            assert self.process.is_alive() and time.monotonic() < limit, self.output
            time.sleep(0.005)

    @property
    def output(self):
        """All that was printed so far."""
        return self.log.read_text(encoding="utf-8") if self.log.exists() else ""

    @property
    def result(self):
        """The content of result.json."""
        return json.loads((self.folder / "result.json").read_text(encoding="utf-8"))


def _child(arguments, folder, log, hooks, environment):
    os.setsid()
    multiprocessing.set_start_method(None, force=True)  # the usual one again, for data loaders' workers
    with open(log, "w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.update(environment)
    sys.argv = arguments
    for hook in hooks:
        hook(folder)
    runpy.run_path(arguments[0], run_name="__main__")


# --- what a run leaves behind ---------------------------------------------------------------------------------------


def weights(folder):
    """The weights to be used, by name."""
    return load_file(Path(folder) / "weights.safetensors")


def distance(one, other):
    """Largest difference between the weights of two result folders."""
    one, other = weights(one), weights(other)
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def prepared_manifest(corpus, folder):
    """Path of the manifest that a corpus was prepared as for the run of a result folder."""
    key = json.loads((folder / "result.json").read_text(encoding="utf-8"))["data"]["key"]
    return corpus / "prepared" / key[:12] / "manifest.csv"


def heard(corpus, folder, rows):
    """Paths of the audio of rows as the evaluation of a run read it: prepared, so that no text hangs on a rounding."""
    manifest = prepared_manifest(corpus, folder)
    paths = {u.id: manifest.parent / u.path for u in read_manifest(manifest)}
    return [paths[row["id"]] for row in rows]


def decoded(folder, split):
    """Rows of decoded_<split>.csv."""
    with open(Path(folder) / f"decoded_{split}.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def checkpoints(folder):
    """Finished checkpoints' folders, oldest first."""
    return sorted(Path(folder).glob("save/CKPT+*"), key=_saved_at)


def _saved_at(checkpoint):
    try:
        return float(re.search(r"^unixtime: (.+)$", (checkpoint / "CKPT.yaml").read_text(), re.M)[1])
    except FileNotFoundError:  # deleted meanwhile
        return 0.0


def train_log(folder):
    """Lines of train_log.txt."""
    return (Path(folder) / "train_log.txt").read_text(encoding="utf-8").splitlines()


def log(folder):
    """log.txt."""
    return (Path(folder) / "log.txt").read_text(encoding="utf-8")


# --- whether two runs are one --------------------------------------------------------------------------------------


def same(run, reference):
    """Whether two runs are one: weights, hypotheses, losses as logged and remembered, steps."""
    assert distance(run.folder, reference.folder) == 0
    for split in ("dev", "test"):
        assert decoded(run.folder, split) == decoded(reference.folder, split)
    assert losses(run.folder) == losses(reference.folder)
    for key in ("results", "steps"):
        assert run.result[key] == reference.result[key]
    assert history(run) == history(reference)
    return True


def history(run):
    """The history in result.json, without the seconds."""
    return [{key: value for key, value in epoch.items() if key != "seconds"} for epoch in run.result["history"]]


def losses(folder):
    """Epoch -> what was logged of it; an epoch whose checkpoint was lost is logged again."""
    stats, scores = zip(*(line.split(" - ", 1) for line in train_log(folder)), strict=True)
    return dict(zip((stat.split(",")[0] for stat in stats), scores, strict=True))


def held_out(save, file):
    """Write the sentences that a run on text has held out into a file, from their labels."""
    rows, units = Sentences.load(save / "held_out.npz"), load_units(save / "units")
    ends = rows.starts.tolist()
    texts = [units.decode(rows.labels[a:b].tolist()) for a, b in zip(ends, ends[1:], strict=False)]
    file.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return file
