"""Run every command of the documents, shortened, on a few clips of the embedded corpus: `make docs-check`.

    python .ci/docs_check.py [PAGE…]

Commands are the lines of blocks marked `bash`, those behind `$` in blocks that show an output, blocks marked `python`,
and benchmarks that a sentence names with their options. Words in capitals (DIR, ENCODER, …) are put in as
`docs_check.yaml` says, trainings last an epoch, ablations are listed and not trained, and what a page takes as given (a
trained model, recordings) is made first. A block behind the comment `<!-- not run: why -->` is left out, as are
commands for which `docs_check.yaml` gives a reason.
The status is 1 where a command failed.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
PAGES = ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]
PAGES += [str(path.relative_to(ROOT)) for path in sorted((ROOT / "recipes").rglob("*.md"))]
PAGES.append("benchmarks/README.md")
LENT = ("serenanet_modules", "hparams", "recipes", "benchmarks", "tests", "docs")  # of the checkout, by links
HELD = r"error: (?!/)(\S+?)(?:/save/units)? holds (?:a run with other settings|other units)"
BLOCK = re.compile(r"(<!-- not run: [^>]*-->\n+)?^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PROGRAM = "python - <<'END'\n"


class Place:
    """A folder that looks like the checkout, with the corpora, recordings and models that the pages speak of.

    Parameters
    ----------
    folder : Path
    rules : dict
        What `docs_check.yaml` holds.
    """

    def __init__(self, folder, rules):
        self.folder, self.rules, self.serving, self.done = folder, rules, None, set()
        folder.mkdir(parents=True, exist_ok=True)
        for name in LENT:
            if not (folder / name).exists():
                (folder / name).symlink_to(ROOT / name)
        own = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}
        own["SERENANET_SPEAKER_ENCODER"] = str(folder.resolve() / "speakers.pt")
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = os.environ | own | {"PATH": path}
        if not (folder / "DIR").exists():
            status, said = self.run(f"python {ROOT}/.ci/docs_givens.py .", 300)
            if status:
                sys.exit(f"could not make what the pages take as given: {said}")

    def run(self, command, seconds):
        """Exit status and what a command printed; 124 where it took longer."""
        asked = {"cwd": self.folder, "env": self.environment, "capture_output": True, "text": True}
        try:
            done = subprocess.run(["bash", "-c", command], timeout=seconds, stdin=subprocess.DEVNULL, **asked)
        except subprocess.TimeoutExpired:
            return 124, f"took longer than {seconds} s"
        return done.returncode, done.stdout + done.stderr

    def anew(self, command):
        """Run a command, if it has not run yet; where another page's run is in its way, that one goes."""
        if command in self.done:
            return 0, ""
        self.done.add(command)
        status, said = self.run(command, self.rules["seconds"])
        held = re.search(HELD, said)
        if held:
            shutil.rmtree(self.folder / held[1])
            status, said = self.run(command, self.rules["seconds"])
        return status, said

    def need(self, command):
        """Train what a command names below results/ and nobody has trained yet."""
        for path in re.findall(r"results/[\w./-]+/\d+", command):
            made = self.rules["results"].get(path)
            if made and not (self.folder / path / "result.json").exists():
                self.need(made)
                self.done.discard(shortened(made, self.rules))
                status, said = self.anew(shortened(made, self.rules))
                if status:
                    print(f"  could not make {path}: {said}")

    def serve(self, command):
        """Start a server and leave it running; 0 once it answers."""
        self.end()
        log = self.folder / "serve.log"
        with open(log, "w") as said:
            command = command.replace("serenanet serve", "exec serenanet serve")
            self.serving = subprocess.Popen(["bash", "-c", command], cwd=self.folder, env=self.environment, stderr=said)
        for _ in range(2 * self.rules["seconds"]):
            if self.serving.poll() is not None:
                return 1, log.read_text()
            try:
                urllib.request.urlopen("http://localhost:8000/healthz", timeout=1)
                return 0, ""
            except OSError:
                time.sleep(0.5)
        return 1, "the server did not answer"

    def end(self):
        """Stop the server, if one runs."""
        if self.serving:
            self.serving.terminate()
            self.serving.wait()
            self.serving = None


def commands(page):
    """Lines of a page's blocks, continued ones joined, programs, benchmarks; what a comment takes out is left out."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for taken_out, language, block in BLOCK.findall(text):
        lines = [line for line in block.replace("\\\n", " ").splitlines() if line.strip() and line[0] != "#"]
        if language == "python" and not taken_out:
            yield f"{PROGRAM}{block}END"
        elif language in ("", "bash") and not taken_out:
            yield from (line.removeprefix("$ ") for line in lines if language or line.startswith("$ "))
    yield from re.findall(r"`(python benchmarks/[^`\n]+)`", text)


def shortened(command, rules):
    """A command with the words of `docs_check.yaml` put in; a training of one epoch, whatever it says."""
    for word, meant in rules["words"].items():
        command = re.sub(rf"(?<![\w/$-]){re.escape(word)}(?![\w-])", meant, command)
    command = command.replace(PROGRAM, PROGRAM + rules["python"])
    command = re.sub(r"\[(--[^\]]+)\]", r"\1", command)  # what a synopsis leaves open
    if re.search(r"(train\.py|serenanet train \S+) hparams", command):
        command = re.sub(r"--number_of_epochs \d+", "", command).split(" #")[0]
        given = rules["training"] if "/LM/" in command else rules["training"] | rules["speech"]
        command += "".join(f" --{key} {value}" for key, value in given.items() if f"--{key} " not in command)
    return command


def check(page, place):
    """Run a page's commands; those that failed, with what they said."""
    failed, words = [], []
    for written in commands(page):
        shown = " ".join(written.split())[:110]
        reason = next((why for what, why in place.rules["not_run"].items() if re.search(what, written)), None)
        if re.fullmatch(r"(export )?[A-Z_]+=\S+( *#.*)?", written):
            words.append(written.split(" #")[0])
        elif reason:
            print(f"  -      {shown}  ({reason})")
        else:
            started, command = time.time(), "; ".join([*words, shortened(written, place.rules)])
            place.need(command)
            serves = "serenanet serve" in command
            status, said = place.serve(command) if serves else place.anew(command)
            print(f"  {'ok' if not status else 'FAILED':6} {shown}  {time.time() - started:.0f} s", flush=True)
            failed += [(written, said)] if status else []
    place.end()
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="*", default=PAGES)
    parser.add_argument(
        "--folder", type=Path, default=ROOT / "build/docs-check", help="what is there is not made again"
    )
    options = parser.parse_args()
    rules = yaml.safe_load((ROOT / ".ci/docs_check.yaml").read_text(encoding="utf-8"))
    started, place, failed = time.time(), Place(options.folder, rules), []
    for page in options.pages:
        print(page, flush=True)
        failed += check(page, place)
    for written, said in failed:
        print(f"\n{written}\n{said[-2000:]}")
    print(f"{len(failed)} commands failed; {(time.time() - started) / 60:.0f} minutes")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
