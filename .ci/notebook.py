"""Run the code of a notebook from top to bottom, in a folder of its own: python .ci/notebook.py FILE."""

import ast
import json
import os
import sys
import tempfile
from pathlib import Path

import matplotlib

matplotlib.use("Agg")


def run(file):
    """Run all code cells in one namespace, and print what each shows."""
    names, cells = {"__name__": "__main__"}, json.loads(Path(file).read_text(encoding="utf-8"))["cells"]
    for number, cell in enumerate(cells):
        if cell["cell_type"] == "code":
            tree = ast.parse("".join(cell["source"]), f"cell {number}")
            last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
            exec(compile(tree, f"cell {number}", "exec"), names)
            if (
                last is not None
                and (shown := eval(compile(ast.Expression(last.value), "last", "eval"), names)) is not None
            ):
                print(f"[{number}] {shown!r}", flush=True)


if __name__ == "__main__":
    notebook, checkout = Path(sys.argv[1]).resolve(), Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        run(notebook)
        os.chdir(checkout)
