"""What to start from: the rows of a table, trained one after the other and measured alike.

    python benchmarks/starting.py benchmarks/starting.yaml --data DIR --out results/starting [--only ROW …]

The file names rows; a row is a list of command lines, the last of which trains the recogniser into ``{run}``. What
many lines share stands once under ``words``. What is finished is not done again, so a run that was stopped goes on.
The table is printed after each row and written to ``starting-SPLIT.md``. CPU minutes are those of all commands of a
row, whatever was run again for it, of the rows that it is ``after``, those that they are ``after``, and so on, and of
encodings whose frames other rows have made and these have read; each counts once.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import yaml

SERENANET = str(Path(sys.executable).with_name("serenanet"))
COLUMNS = "| start | WER greedy | CER greedy | WER + trigram | CER + trigram | unseen speaker | CPU min | trained |"


class Row:
    """One start.

    Parameters
    ----------
    name : str
    entry : dict
        ``steps``: command lines; ``says``: its first column; ``after``: rows whose results it starts from; ``unseen``:
        false where the unseen speaker's language is another one.
    options : Namespace
    """

    def __init__(self, name, entry, options):
        self.name, self.entry, self.options = name, entry, options
        self.folder = Path(options.out) / name
        self.run = self.folder / "run"

    def do(self):
        """Run the steps that are not done, and measure the unseen speaker."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for number, command in enumerate(self.commands(), start=1):
            self._once(f"step{number}", command)
        if self.options.unseen and self.entry.get("unseen", True):
            asked = ["recipes/CommonVoice", "--data-folder", self.options.unseen, "--lm", "auto"]
            out = ["--out", str(self.folder / "unseen")]
            self._once("unseen", [SERENANET, "evaluate", str(self.run), *asked, *out], counted=False)

    def commands(self):
        """The steps, a list of words each; trainings have the seed."""
        steps = [shlex.split(self._filled(step)) for step in self.entry["steps"]]
        return [step if step[0] == SERENANET else [*step, "--seed", str(self.options.seed)] for step in steps]

    def _filled(self, step):
        runs = {name: Path(self.options.out) / name / "run" for name in self.options.rows}
        o = self.options
        known = {"data": o.data, "out": o.out, "run": self.run, "folder": self.folder, "runs": runs}
        known |= {"serenanet": SERENANET, "python": sys.executable, **o.values}
        words = {name: text.format(**known) for name, text in self.options.words.items()}
        return step.format(**known, **words)

    def _once(self, name, command, counted=True):
        """Run a command unless it was finished; its CPU time, also of tries that were stopped, is added up."""
        told = self.folder / f"{name}.json"
        done = json.loads(told.read_text()) if told.is_file() else {"cpu": 0.0, "status": None}
        if done["status"] == 0:
            return
        print(f"{self.name}: {shlex.join(command)}", flush=True)
        with open(self.folder / f"{name}.log", "a", encoding="utf-8") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
            _, status, usage = os.wait4(process.pid, 0)
        cpu = done["cpu"] + usage.ru_utime + usage.ru_stime
        status = os.waitstatus_to_exitcode(status)
        told.write_text(json.dumps({"cpu": cpu, "status": status, "counted": counted, "command": command}))
        if status:
            raise SystemExit(f"{self.name}: a command ended with status {status}; see {log.name}")

    @property
    def minutes(self):
        """CPU minutes of all its commands."""
        steps = [json.loads(path.read_text()) for path in self.folder.glob("step*.json")]
        return sum(step["cpu"] for step in steps if step["counted"]) / 60

    @property
    def result(self):
        """Content of its result.json, None before it is finished."""
        file = self.run / "result.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None

    def chain(self, rows):
        """Itself and all rows that it starts from, by way of others too; each once."""
        found, waiting = {}, [self]
        while waiting:
            row = waiting.pop()
            if row.name not in found:
                found[row.name] = row
                waiting += [rows[name] for name in row.entry.get("after", [])]
        return list(found.values())

    def maker(self, rows):
        """The row that has made the frames of an encoder that it has read; None where it reads none.

        What the frames have cost is the same number in all runs that read them; the first to finish has made them.
        It is that of dev and test, which all speeds share, and of train at the run's speeds. So what has read frames at
        several speeds counts dev and test for each, and a row that has made other speeds only does not count them.
        """
        cost = _encoding(self.result)
        makers = [row for row in rows.values() if cost and _encoding(row.result) == cost]
        return min(makers, key=lambda row: row.result["finished"], default=None)

    def all_minutes(self, rows):
        """CPU minutes of its chain, and of each encoding that the chain has read and none of its rows has made."""
        chain = self.chain(rows)
        made = {maker.name: maker for row in chain if (maker := row.maker(rows)) is not None}
        read = [
            _encoding(made[name].result)["encoder_cache_cpu"] / 60 for name in made.keys() - {r.name for r in chain}
        ]
        return sum(row.minutes for row in chain) + sum(read)

    def line(self, rows):
        """Its line of the table, or None before it is finished."""
        if (result := self.result) is None:
            return None
        rates = [_percent(result["results"][self.options.split], name) for name in ("greedy", "prefix-beam+lm")]
        trained = f"{result.get('trained_parameters', result['parameters']['total']) / 1e6:.2f} M"
        cells = [self.entry["says"], *sum(rates, []), self._unseen(), f"{self.all_minutes(rows):.0f}", trained]
        return "| " + " | ".join(cells) + " |"

    def _unseen(self):
        found = self.folder / "unseen" / "scores.json"  # of one decoder, so it has no name there
        if not found.is_file():
            return ""
        return " / ".join(_percent({"/only": json.loads(found.read_text())["results"]["test"]}, "only"))


def read_rows(options):
    """The `Row` of each name in the file."""
    entries = yaml.safe_load(Path(options.file).read_text(encoding="utf-8"))
    options.words = entries.pop("words", {})
    options.rows, options.values = list(entries), dict(pair.split("=", 1) for pair in options.set)
    return {name: Row(name, entry, options) for name, entry in entries.items()}


def _encoding(result):
    """What a run's kept frames have cost, {} where it has none."""
    seconds = {} if result is None else result.get("seconds", {})
    return {key: seconds[key] for key in ("encoder_cache", "encoder_cache_cpu") if key in seconds}


def _percent(measured, decoder):
    """WER and CER of a set under the decoder whose name ends so."""
    rates = next((value for name, value in measured.items() if name.endswith(f"/{decoder}")), None)
    return ["", ""] if rates is None else [f"{rates[rate]['percent']:.1f}" for rate in ("WER", "CER")]


def main():
    """Do the rows, and write the table after each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", help="yaml: rows, each with says, steps and, where it starts from others, after")
    parser.add_argument("--data", required=True, help="folder of the corpora that the steps call {data}")
    parser.add_argument("--out", default="results/starting")
    parser.add_argument("--only", nargs="+", default=[], help="rows; all by default")
    parser.add_argument(
        "--unseen", help="corpus of another speaker, laid out as Common Voice, whose test set is read with the trigram"
    )
    parser.add_argument("--seed", type=int, default=1986, help="of the trainings; give each an --out of its own (1986)")
    parser.add_argument("--split", default="dev", help="set of the table; test is read once, when all is decided")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="what {NAME} stands for in steps")
    options = parser.parse_args()
    rows = read_rows(options)
    for name in options.only or rows:
        rows[name].do()
        lines = [line for row in rows.values() if (line := row.line(rows))]
        table = "\n".join([COLUMNS, "|---" * (COLUMNS.count("|") - 1) + "|", *lines])
        (Path(options.out) / f"starting-{options.split}.md").write_text(table + "\n", encoding="utf-8")
        print(table, flush=True)


if __name__ == "__main__":
    main()
