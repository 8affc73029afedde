"""The notebook is code that compiles, without what a run of it has shown; `make notebook` runs it."""

import json
from pathlib import Path

NOTEBOOK = Path(__file__).parents[2] / "docs/first_steps.ipynb"


def test_the_notebook_is_clean():
    """No outputs, no numbers of runs, no line that is not Python's."""
    cells = [c for c in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]
    assert len(cells) > 4
    for cell in cells:
        assert not cell["outputs"] and cell["execution_count"] is None
        compile("".join(cell["source"]), "cell", "exec")
