"""What the dependencies are licensed under, into docs/licences.md; and their known vulnerabilities, by pip-audit."""

import json
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
    """Print what pip-audit finds; 1 where it is anything, 0 where it is nothing or could not be looked up."""
    program = shutil.which("pip-audit", path=Path(sys.executable).parent) or shutil.which("pip-audit")
    if program is None:
        print("pip-audit is not installed (pip install pip-audit): vulnerabilities were not looked up")
        return 0
    command = [program, "--requirement", REQUIREMENTS, "--no-deps", "--disable-pip", "--format", "json"]
    done = subprocess.run([*command, "--progress-spinner", "off"], capture_output=True, text=True)
    try:
        found = json.loads(done.stdout)["dependencies"]
    except ValueError:
        said = done.stderr.strip().splitlines()[-1:]
        print(f"pip-audit could not look up vulnerabilities from here ({' '.join(said)})")
        return 0
    skipped = [package["name"] for package in found if "skip_reason" in package]
    print(f"pip-audit: {len(found) - len(skipped)} packages looked up, {len(skipped)} unknown to the index it asked")
    known = [(package, hole) for package in found for hole in package.get("vulns", ())]
    for package, hole in known:
        mended = ", ".join(hole["fix_versions"]) or "none yet"
        print(f"{package['name']} {package['version']}: {hole['id']}, mended in {mended}")
    return 1 if known else 0


if __name__ == "__main__":
    write_list()
    sys.exit(audit())
