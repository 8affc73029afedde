"""N-gram language models are estimated: by KenLM's lmplz, IRSTLM or our own `kneser_ney`, into an ARPA file."""

import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from serenanet_modules.decoding import kneser_ney
from serenanet_modules.decoding.kneser_ney import SPECIAL
from serenanet_modules.errors import UserError
from serenanet_modules.runtime.files import PARTIAL

logger = logging.getLogger(__name__)

TOOLS = ("lmplz", "irstlm", "own")  # in the order in which "auto" tries them
ORDERS = range(2, 7)


def estimate(texts: Iterable[str], order: int, path: str | Path, tool: str = "auto") -> str:
    """Write an interpolated modified Kneser-Ney model of `texts` to `path`.

    Parameters
    ----------
    texts : iterable of str
        Normalised sentences, words between white space; empty ones are left out.
    order : int
        Longest n-gram, 2 to 6; less where no sentence is that long.
    path : path
        The ARPA file; appears only when complete.
    tool : {"auto", "lmplz", "irstlm", "own"}
        KenLM's lmplz, IRSTLM (in /usr/lib/irstlm or where the variable IRSTLM says) or our own
        estimator. "auto" takes the first of them that is installed; one that fails on the text
        (tiny ones can be too much) gives way to the next with a warning.

    Returns
    -------
    str
        The tool that made the file.

    Raises
    ------
    UserError
        For an order or tool that does not exist, a tool asked for and missing, or unusable text.
    """
    if order not in ORDERS:
        raise UserError(f"n-gram order {order}: must be from {ORDERS[0]} to {ORDERS[-1]}.")
    candidates = _candidates(tool)
    sentences = _sentences(texts)
    path = Path(path).resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name[:50]}.", suffix=PARTIAL) as scratch:
        used, arpa = _run_first(candidates, sentences, order, Path(scratch))
        with arpa.open("rb") as written:
            os.fsync(written.fileno())
        arpa.replace(path)
    logger.info("%s: order %d, %d sentences, made with %s", path, order, len(sentences), used)
    return used


def _sentences(texts: Iterable[str]) -> list[list[str]]:
    sentences = [words for words in map(str.split, texts) if words]
    if not sentences:
        raise UserError("The language model's text holds no words; give at least one sentence.")
    for words in sentences:
        reserved = set(SPECIAL).intersection(words)
        if reserved:
            raise UserError(
                f"The language model's text holds the reserved word {min(reserved)} in "
                f"{' '.join(words)[:60]!r}; take it out."
            )
    return sentences


def _irstlm_root() -> Path | None:
    root = Path(os.environ.get("IRSTLM", "/usr/lib/irstlm"))
    needed = ("build-lm.sh", "compile-lm")
    return root if all((root / "bin" / name).exists() for name in needed) else None


def installed_tools() -> list[str]:
    """The tools that can run here, in the order in which "auto" tries them."""
    found = {"lmplz": shutil.which("lmplz"), "irstlm": _irstlm_root(), "own": True}
    return [tool for tool in TOOLS if found[tool]]


def _candidates(tool: str) -> list[str]:
    installed = installed_tools()
    if tool == "auto":
        return installed
    if tool not in TOOLS:
        raise UserError(f"Language model tool {tool!r}: choose auto, {', '.join(TOOLS)}.")
    if tool not in installed:
        raise UserError(f"Language model tool {tool} is not installed here; choose auto or own.")
    return [tool]


def _run_first(candidates: Sequence[str], sentences: list[list[str]], order: int, scratch: Path) -> tuple[str, Path]:
    """Run the candidates in turn until one succeeds."""
    run = {"lmplz": _lmplz, "irstlm": _irstlm, "own": _own}
    for tool in candidates:
        try:
            return tool, run[tool](sentences, order, scratch)
        except UserError as error:
            if tool == candidates[-1]:
                raise
            logger.warning("%s Trying the next tool.", error)
    raise AssertionError("there is always a candidate")


def _own(sentences: list[list[str]], order: int, scratch: Path) -> Path:
    arpa = scratch / "own.arpa"
    with arpa.open("w", encoding="utf-8") as out:
        for line in kneser_ney.arpa_lines(*kneser_ney.estimate(sentences, order)):
            out.write(line + "\n")
    return arpa


def _lmplz(sentences: list[list[str]], order: int, scratch: Path) -> Path:
    text, arpa = scratch / "text", scratch / "lmplz.arpa"
    text.write_text("".join(" ".join(words) + "\n" for words in sentences), encoding="utf-8")
    _tool_run(
        ["lmplz", "--order", order, "--discount_fallback", "--memory", "30%", "--temp_prefix",
         scratch / "tmp", "--text", text, "--arpa", arpa], arpa
    )  # fmt: skip
    return arpa


def _irstlm(sentences: list[list[str]], order: int, scratch: Path) -> Path:
    text, merged, arpa = scratch / "text", scratch / "merged.gz", scratch / "irstlm.arpa"
    bounded = (f"<s> {' '.join(words)} </s>\n" for words in sentences)
    text.write_text("".join(bounded), encoding="utf-8")
    root = _irstlm_root()
    _tool_run(
        [root / "bin/build-lm.sh", "-i", text, "-n", order, "-o", merged, "-k", 1,
         "-s", "improved-kneser-ney", "-t", scratch / "statistics"], merged, IRSTLM=str(root)
    )  # fmt: skip
    _tool_run([root / "bin/compile-lm", "--text=yes", merged, arpa], arpa, IRSTLM=str(root))
    return arpa


def _tool_run(command: Sequence, product: Path, **environment: str) -> None:
    """Run a tool; it failed if it says so or leaves no product (IRSTLM's scripts hide failures)."""
    done = subprocess.run(
        [str(part) for part in command], env=os.environ | environment, capture_output=True,
        text=True, errors="replace", stdin=subprocess.DEVNULL, cwd=product.parent,
    )  # fmt: skip
    if done.returncode or not product.exists() or not product.stat().st_size:
        lines = [
            line for line in (*done.stdout.splitlines(), *done.stderr.splitlines()) if line.strip() and "$" not in line
        ]
        said = (lines or ["it said nothing"])[-1]  # lines with a $ are the scripts' own, echoed
        raise UserError(f"{Path(command[0]).name} could not estimate the language model: {said[:200]}")
