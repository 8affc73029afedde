"""Finished runs below a folder that is none, as where its seed was left out."""

import glob
from pathlib import Path

MOST = 3  # so many are named


def meant(folder, needed):
    """A question for these runs, or nothing where there are none or many.

    Parameters
    ----------
    folder : Path
    needed : sequence of str
        Files that a finished run has; the first is looked for one folder down and two.

    Returns
    -------
    str
    """
    found = [name for depth in ("*", "*/*") for name in glob.glob(f"{depth}/{needed[0]}", root_dir=folder)]
    runs = [Path(folder, name).parent for name in sorted(found)]
    runs = [str(run) for run in runs if all((run / name).is_file() for name in needed)]
    return f"did you mean {' or '.join(runs)}?" if 0 < len(runs) <= MOST else ""
