"""Throughput, latency and memory of `serenanet serve` at rising concurrency, against the recogniser in this process.

    python benchmarks/server.py RESULT_DIR FILE [FILE ...]

Two servers of the same model run, one that batches requests and one that takes them one by one (a batch holds a
hundredth of a second of audio, so one request). They are loaded in turns, batched, single, in process, batched, …: so
many clients send the FILEs in turn, each its next request when its last is answered, on connections that stay open, for
so many seconds; in process, `Recognizer.transcribe` gets as many files at a time. Every answer is compared with that of
a request on its own. Without ``--cores`` all share the machine's, so beside wall time stands the CPU time that the
serving process spends on a request, which bounds what a core can serve whatever else is at work. Memory is what is
resident above that of a process that has imported torch.
"""

import argparse
import http.client
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from serenanet_modules.data.audio import SAMPLE_RATE, load  # noqa: E402
from serenanet_modules.runtime.provenance import provenance  # noqa: E402

SERVERS = {"batched": (), "single": ("--batch-seconds", "0.01")}
BARE = "import torch, sys; print(); sys.stdin.read()"
PERCENTILES = (50, 95, 99)
BOUNDARY = "serenanet-benchmark"


def main(argv=None):
    options = parse(argv)
    found = {"options": {**vars(options), "folder": str(options.folder), "out": str(options.out)}, **provenance()}
    requests = [Request(path) for path in options.files]
    servers = {name: Server(options, more) for name, more in SERVERS.items()}
    try:
        for request in requests:
            for server in servers.values():  # each has its first, slow request behind it then
                request.expected = server.text(request)
        bare = imported()
        found["ready"] = {name: resident(server.process.pid) - bare for name, server in servers.items()}
        found["rows"] = measure({**servers, "in process": InProcess(options, requests)}, requests, options)
        found["grown"] = {name: resident(server.process.pid) - bare for name, server in servers.items()}
    finally:
        for server in servers.values():
            server.process.terminate()
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "server.json").write_text(json.dumps(found, indent=1, default=str), encoding="utf-8")
    text = table(found["rows"]) + "\n" + memory(found["ready"], found["grown"])
    (options.out / "server.md").write_text(text, encoding="utf-8")
    print(text)
    return int(any(row["wrong"] for row in found["rows"]))


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="RESULT_DIR")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--seconds", type=float, default=10.0, help="of load at a time (10)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="of each server (1)")
    parser.add_argument("--cores", type=int, nargs=2, metavar=("SERVING", "ASKING"), help="one for each, by number")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "benchmarks")
    return parser.parse_args(argv)


def resident(pid):
    """MiB of a process's own and shared pages in memory."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20


def imported():
    """MiB of a process that has imported torch."""
    with subprocess.Popen([sys.executable, "-c", BARE], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        size = resident(process.pid)
        process.stdin.close()
    return size


def stay_on(options, asking):
    """Keep this process, and those that it starts, on the core of those that ask or of those that serve."""
    if options.cores:
        os.sched_setaffinity(0, {options.cores[asking]})


class Request:
    """A file as a multipart body; `expected` is its text."""

    def __init__(self, path):
        self.path = path
        self.seconds, self.expected = len(load(path)) / SAMPLE_RATE, None
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{path.name}"\r\n\r\n'
        self.body = head.encode() + path.read_bytes() + f"\r\n--{BOUNDARY}--\r\n".encode()


class Server:
    """`serenanet serve` in a process of its own."""

    asked = True  # by this process, while it is measured

    def __init__(self, options, more):
        command = [sys.executable, "-m", "serenanet_modules.cli", "serve", str(options.folder), "--port", "0"]
        command += ["--device", options.device, "--max-queue", str(max(options.concurrency)), *more]
        environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads), "PYTHONPATH": str(ROOT)}
        stay_on(options, asking=False)
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        )
        said = self.process.stdout.readline()
        if "http://" not in said:
            raise SystemExit(f"the server did not start: {' '.join(command)}")
        self.place = said.split("http://")[1].split()[0]
        threading.Thread(target=self.process.stdout.read, daemon=True).start()  # its log must not fill the pipe

    def cpu(self):
        """Seconds of CPU time that it has spent."""
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def load(self, requests, clients, seconds):
        """As `load_with`."""
        return load_with(self, requests, clients, seconds)

    def text(self, request):
        """The transcript of one request on its own."""
        return ask(http.client.HTTPConnection(self.place), request)


class InProcess:
    """The recogniser in this process, as the server uses it."""

    asked = False

    def __init__(self, options, requests):
        import torch

        from serenanet_modules.inference.recognizer import Recognizer

        torch.set_num_threads(options.threads)
        self._recognizer = Recognizer.from_folder(options.folder, options.device)
        self._recognizer.transcribe([request.path for request in requests])
        self.cpu = time.process_time

    def load(self, requests, clients, seconds):
        """So many files at a time, as `load_with`."""
        latencies, audio, wrong, files = [], 0.0, 0, itertools.cycle(requests)
        began = time.perf_counter()
        while (start := time.perf_counter()) - began < seconds:
            batch = list(itertools.islice(files, clients))
            found = self._recognizer.transcribe([request.path for request in batch])
            latencies += [time.perf_counter() - start] * clients
            audio += sum(request.seconds for request in batch)
            wrong += sum(t.text != request.expected for t, request in zip(found, batch, strict=True))
        return time.perf_counter() - began, latencies, audio, wrong


def ask(connection, request):
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    connection.request("POST", "/v1/audio/transcriptions", request.body, headers)
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"status {answer.status}: {content[:200]}")
    return json.loads(content)["text"]


def measure(servers, requests, options):
    """A row for each number of clients and each server, of all repeats together."""
    rows = []
    for clients in options.concurrency:
        taken = {name: [] for name in servers}
        for _ in range(options.repeats):
            for name, server in servers.items():
                stay_on(options, asking=server.asked)
                before = server.cpu()
                run = server.load(requests, clients, options.seconds)
                taken[name].append((*run, (server.cpu() - before) / len(run[1])))
        for name, runs in taken.items():
            rows.append(summary(clients, name, runs))
            print(f"{clients} clients, {name}: {rows[-1]['requests_per_second']:.2f} requests/s", file=sys.stderr)
    return rows


def load_with(server, requests, clients, seconds):
    """Seconds of the run, latencies of its requests, seconds of audio, and how many answers were not as expected."""
    latencies, audio, wrong, errors = [], [], [], []
    began = time.perf_counter()

    def client(first):
        connection = http.client.HTTPConnection(server.place)
        try:
            for request in itertools.islice(itertools.cycle(requests), first, None):
                start = time.perf_counter()
                if start - began > seconds:
                    return
                text = ask(connection, request)
                latencies.append(time.perf_counter() - start)
                audio.append(request.seconds)
                wrong.append(text != request.expected)
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=client, args=(i % len(requests),)) for i in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return time.perf_counter() - began, latencies, sum(audio), sum(wrong)


def summary(clients, name, runs):
    """Medians over repeats of the rates, and percentiles of all latencies."""
    latencies = np.concatenate([run[1] for run in runs])
    percentiles = np.percentile(latencies, PERCENTILES)
    return {
        "clients": clients,
        "server": name,
        "requests": len(latencies),
        "wrong": sum(run[3] for run in runs),
        "requests_per_second": float(np.median([len(run[1]) / run[0] for run in runs])),
        "audio_per_second": float(np.median([run[2] / run[0] for run in runs])),
        "cpu": float(np.median([run[4] for run in runs])),
        **{f"p{p}": float(value) for p, value in zip(PERCENTILES, percentiles, strict=True)},
    }


def table(rows):
    """Markdown.

    Examples
    --------
    >>> row = {"clients": 2, "server": "batched", "requests_per_second": 3.21, "audio_per_second": 9.99, "wrong": 0,
    ...        "p50": 0.1, "p95": 0.2, "p99": 0.3, "cpu": 0.01234}
    >>> print(table([row]).splitlines()[-1])
    | 2 | batched | 3.2 | 10.0 | 12.3 | 100 | 200 | 300 | |
    """
    lines = [
        "| clients | server | requests/s | audio s/s | CPU ms a request | p50 ms | p95 ms | p99 ms | |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        milliseconds = " | ".join(f"{1000 * row[f'p{p}']:.0f}" for p in PERCENTILES)
        wrong = f" {row['wrong']} WRONG" if row["wrong"] else ""
        rates = f"{row['requests_per_second']:.1f} | {row['audio_per_second']:.1f} | {1000 * row['cpu']:.1f}"
        lines.append(f"| {row['clients']} | {row['server']} | {rates} | {milliseconds} |{wrong} |")
    return "\n".join(lines)


def memory(ready, grown):
    """A line: MiB above a bare torch when a server is ready and when it has been loaded.

    Examples
    --------
    >>> memory({"batched": 80.2}, {"batched": 120.9})
    'MiB above import torch: batched 80 when ready, 121 in the end'
    """
    sizes = (f"{name} {ready[name]:.0f} when ready, {grown[name]:.0f} in the end" for name in ready)
    return "MiB above import torch: " + "; ".join(sizes)


if __name__ == "__main__":
    sys.exit(main())
