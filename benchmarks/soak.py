"""Whether memory, file handles and disk stay flat over a long training and a long life of the server.

    python benchmarks/soak.py RESULT_DIR FILE [FILE ...]

A tiny model trains on the embedded corpus for so many optimizer steps, with data loaders, checkpoints every second,
validations and TensorBoard as in any training; then the server of RESULT_DIR answers so many requests of four clients,
which upload the FILEs in turn, every tenth of them garbage that is refused. All along, the resident memory and open
files of the process and the bytes on disk are noted. Flat is what grows by less than the limits below
from the second to the last quarter of the samples: the first quarter fills caches.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import server as load  # noqa: E402

from serenanet_modules.runtime.provenance import provenance  # noqa: E402

SAMPLES = 200  # of each run
CLIENTS = 4
GARBAGE = 10  # every so many-th request
LIMITS = {"memory": 16.0, "files": 2, "disk": 1.0}  # growth allowed: MiB, number, MiB
UNITS = {"memory": "resident memory (MiB)", "files": "open files", "disk": "disk (MiB)"}
HPARAMS = ("serenanet.yaml", "sizes/serenanet/small.yaml")
MODEL = """
    --d_model 32 --encoder.n_layers 1 --encoder.n_heads 2 --encoder.d_ffn 64 --frontend.gate_size 16 --car.d_model 16
    --car.d_state 4 --n_mels 40 --features.n_fft 512 --max_batch_seconds 20 --number_of_epochs 100000 --num_workers 2
    --early_stopping_patience 0 --ckpt_interval_minutes 0.02 --checkpoints_to_average 2 --device=cpu --noprogressbar
""".split()


def main(argv=None):
    options = parse(argv)
    if options.train is not None:  # the child: this file in the place of a recipe's train.py
        return train(options.train, options.steps)
    runs = {"training": training(options.steps), "server": serving(options)}
    growth = {name: grown(rows) for name, rows in runs.items()}
    found = {"steps": options.steps, "requests": options.requests, "limits": LIMITS, "growth": growth, "runs": runs}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "soak.json").write_text(json.dumps({**found, **provenance()}, indent=1, default=str))
    plot(runs, options.out / "soak.png")
    text = table(growth)
    (options.out / "soak.md").write_text(text, encoding="utf-8")
    print(text)
    return int(any(value > LIMITS[what] for run in growth.values() for what, value in run.items()))


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", metavar="RESULT_DIR")
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1, help="of the server (1)")
    parser.add_argument("--device", default="cpu", help="of the server (cpu)")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "benchmarks")
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.train is None and not options.files:
        parser.error("give a result folder and files to upload")
    options.concurrency, options.cores = [CLIENTS], None
    return options


# --- training -------------------------------------------------------------------------------------------------------


def training(steps):
    """Rows of a training in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--train", folder, "--steps", str(steps)]
        ended = subprocess.run(command, stdout=sys.stderr, check=False)
        if ended.returncode != 128 + signal.SIGTERM:  # how a training ends that is told to
            raise SystemExit(f"the training ended with status {ended.returncode}")
        lines = (Path(folder) / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def train(folder, steps):
    """Train for so many steps, a sample every few of them."""
    from serenanet_modules.training.experiment import main as run
    from serenanet_modules.training.loop import RecipeBrain

    step, every = RecipeBrain.optimizers_step, max(1, steps // SAMPLES)

    def sampled(self):
        step(self)
        if self.optimizer_step % every == 0:
            with open(folder / "samples.jsonl", "a", encoding="utf-8") as file:
                row = {"count": self.optimizer_step, **used(os.getpid(), folder / "run")}
                file.write(json.dumps(row) + "\n")
        if self.optimizer_step >= steps:
            self.signal = signal.SIGTERM

    RecipeBrain.optimizers_step = sampled
    recipe = ROOT / "recipes/CommonVoice/sw"
    data = ["--data_folder", str(ROOT / "tests/sample/CommonVoice/sw"), "--prepared_folder", str(folder / "prepared")]
    run(
        recipe / "train.py",
        [*(str(ROOT / "hparams" / name) for name in HPARAMS), *MODEL, *data, "--output_folder", f"{folder}/run"],
    )


# --- server ---------------------------------------------------------------------------------------------------------


def serving(options):
    """Rows of a server that answers `options.requests` requests."""
    requests = [load.Request(path) for path in options.files]
    garbage = load.Request(options.files[0])
    garbage.body = garbage.body[: len(garbage.body) // 3] + bytes(1000) + b"\r\n--" + load.BOUNDARY.encode() + b"--\r\n"
    every, done, rows, lock = max(1, options.requests // SAMPLES), [0], [], threading.Lock()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TMPDIR"] = folder  # where uploads would go that are kept
        server = load.Server(options, ())
        try:
            for request in requests:
                request.expected = server.text(request)

            def client(number):
                connection = load.http.client.HTTPConnection(server.place)
                while True:
                    with lock:
                        mine = done[0]
                        done[0] += 1
                    if mine >= options.requests:
                        return connection.close()
                    if mine % GARBAGE == GARBAGE - 1:
                        refused(connection, garbage)
                    else:
                        request = requests[mine % len(requests)]
                        assert load.ask(connection, request) == request.expected
                    if mine % every == 0:
                        with lock:
                            rows.append({"count": mine, **used(server.process.pid, Path(folder))})

            threads = [threading.Thread(target=client, args=(i,)) for i in range(CLIENTS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            server.process.terminate()
            del os.environ["TMPDIR"]
    if len(rows) < options.requests // every:
        raise SystemExit("requests failed; see above")
    return sorted(rows, key=lambda row: row["count"])


def refused(connection, request):
    """Send garbage, which must be refused as what it is."""
    headers = {"Content-Type": f"multipart/form-data; boundary={load.BOUNDARY}"}
    connection.request("POST", "/v1/audio/transcriptions", request.body, headers)
    answer = connection.getresponse()
    answer.read()
    assert 400 <= answer.status < 500 or answer.status == 200, answer.status


# --- what is used ---------------------------------------------------------------------------------------------------


def used(pid, folder):
    """Memory (MiB) and open files of a process, and MiB in a folder."""
    return {"memory": load.resident(pid), "files": len(os.listdir(f"/proc/{pid}/fd")), "disk": size(folder)}


def size(folder):
    """MiB of all files; one that vanishes meanwhile counts nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total / 2**20


def grown(rows):
    """Median of the last quarter of the samples minus that of the second quarter.

    Examples
    --------
    >>> grown([{"count": i, "memory": 10 + i, "files": 7, "disk": 1.0} for i in range(8)])
    {'memory': 4.0, 'files': 0.0, 'disk': 0.0}
    """
    quarter = len(rows) // 4
    parts = rows[quarter : 2 * quarter], rows[-quarter:]
    early, late = ({what: statistics.median(row[what] for row in part) for what in UNITS} for part in parts)
    return {what: round(late[what] - early[what], 3) for what in UNITS}


def table(growth):
    """Markdown.

    Examples
    --------
    >>> print(table({"server": {"memory": 0.5, "files": 0, "disk": 0.0}}).splitlines()[-1])
    | server | +0.5 | +0 | +0.00 |
    """
    lines = ["| | memory, MiB | open files | disk, MiB |", "|---|---|---|---|"]
    lines += [f"| {n} | {g['memory']:+.1f} | {g['files']:+g} | {g['disk']:+.2f} |" for n, g in growth.items()]
    return "\n".join(lines) + "\n"


def plot(runs, path):
    """A column for each run, a row for each thing that is used."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(UNITS), len(runs), figsize=(9, 7), sharex="col", squeeze=False)
    for column, (name, rows) in enumerate(runs.items()):
        axes[0][column].set_title(name)
        axes[-1][column].set_xlabel("optimizer steps" if name == "training" else "requests")
        for row, (what, label) in enumerate(UNITS.items()):
            values = [r[what] for r in rows]
            axes[row][column].plot([r["count"] for r in rows], values, linewidth=1)
            axes[row][column].set_ylim(0, 1.15 * max(values) or 1)
            axes[row][column].grid(alpha=0.3)
            axes[row][0].set_ylabel(label)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


if __name__ == "__main__":
    sys.exit(main())
