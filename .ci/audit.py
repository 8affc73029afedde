"""What the dependencies are licensed under, into docs/licences.md; and their known vulnerabilities, by pip-audit."""

import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIST, REQUIREMENTS = ROOT / "docs/licences.md", ROOT / "requirements.txt"
COPYLEFT = re.compile(r"\b(L|A)?GPL|General Public|MPL|Mozilla")

STATED_ELSEWHERE = {"espeakng-loader": "GPL-3.0-or-later (the library espeak-ng in it)"}

HEADING = """\
# Licences of the dependencies

All that `requirements.txt` pins, as each package states it about itself; `make audit` writes this page. SerenaNet is
under MIT. What is **bold** asks for more than a notice when it is passed on.

| package | version | licence |
|---|---|---|
"""


def pinned():
    """(name, version) of every requirement."""
    return re.findall(r"^([\w.-]+)==([^;\s]+)", REQUIREMENTS.read_text(encoding="utf-8"), re.MULTILINE)


def licence(name):
    """What an installed package says of its licence, in a line."""
    try:
        about = metadata(name)
    except PackageNotFoundError:
        return "not installed here"
    if said := about.get("License-Expression"):
        return said
    classified = [c.split(" :: ")[-1] for c in about.get_all("Classifier", []) if c.startswith("License ::")]
    said = ", ".join(c for c in classified if c != "OSI Approved") or about.get("License")
    said = said or STATED_ELSEWHERE.get(name, "not stated")
    return said.strip().splitlines()[0]


def write_list():
    """docs/licences.md."""
    rows = [(name, version, licence(name)) for name, version in pinned()]
    lines = [f"| {n} | {v} | {f'**{said}**' if COPYLEFT.search(said) else said} |\n" for n, v, said in rows]
    LIST.write_text(HEADING + "".join(lines), encoding="utf-8")
    print(f"{LIST.relative_to(ROOT)}: {len(rows)} packages")


def audit():
    """The exit status of pip-audit; 0 where it is not there or cannot ask."""
    program = shutil.which("pip-audit", path=f"{Path(sys.executable).parent}:{Path('~/.local/bin').expanduser()}")
    program = program or shutil.which("pip-audit")
    if program is None:
        print("pip-audit is not installed (pip install pip-audit): vulnerabilities were not looked up")
        return 0
    command = [program, "--requirement", REQUIREMENTS, "--no-deps", "--disable-pip", "--progress-spinner", "off"]
    done = subprocess.run(command, capture_output=True, text=True)
    if "ConnectionError" in done.stderr or "ServiceError" in done.stderr:
        print("pip-audit cannot reach the index of vulnerabilities from here: they were not looked up")
        return 0
    print(f"{done.stdout}{done.stderr}".strip())
    return done.returncode


if __name__ == "__main__":
    write_list()
    sys.exit(audit())
