"""Reports over result folders: tables, plots, and a page that holds them together."""

from dataclasses import dataclass
from pathlib import Path

from serenanet_modules.analysis import plots, sections, seeds, tables
from serenanet_modules.analysis.cost import HOURS, spent
from serenanet_modules.analysis.counts import write_copy
from serenanet_modules.analysis.folders import Result, find_results
from serenanet_modules.analysis.summary import System, summarise
from serenanet_modules.errors import UserError
from serenanet_modules.runtime.amounts import counted, duration
from serenanet_modules.runtime.bars import Bar
from serenanet_modules.runtime.files import replacing, write_text

NOTES = """\
Means ± standard deviations over seeds, in percent. Δ is the difference to {reference} in points, over the seeds that
both have, with its 95 % interval. p is how often chance alone would give a difference this clear, corrected for the
number of systems that are compared (Holm). Interval and p allow for other seeds and for other test sets.
“detectable” is the smallest difference that is found with a probability of 80 % (power): by one comparison / by
Holm's first step. Smaller differences may exist and not be found. Without p, seeds are not accounted for (there is
one, or none in common), and the interval is that of the test set alone.

{seeds}

Training time is that of the run alone, without its pre-training; RTF: seconds of features, network and
greedy decoding for a second of audio. Both are wall-clock times, which other programs
make longer; CPU is the processor time of the training. All figures:
[table.csv](table.csv), [table.tex](table.tex)."""


@dataclass(frozen=True)
class Group:
    """A row of a report.

    Attributes
    ----------
    name : str
    folders : list of Path
        Result folders, one for each seed.
    scoring : str or None
        What its texts are decoded from, where that is not what its runs say.
    same_as : str or None
        The group that this one is another name of.
    """

    name: str
    folders: list[Path]
    scoring: str | None = None
    same_as: str | None = None


def report(places, out, reference=None, price=None, copies=None):
    """Report on all results in or below some folders, grouped by experiment.

    Parameters
    ----------
    places : list of Path
    out : Path
        Folder for the report.
    reference : str, optional
        Experiment that the others are compared with; the first one found by default.
    price : float, optional
        Of an hour of a GPU, or of the machine.
    copies : Path, optional
        Folder for copies of the results without texts (`analysis.counts`), EXPERIMENT/SEED each.

    Returns
    -------
    str
        What to print.

    Raises
    ------
    UserError
        Where nothing is found, or two results are of the same experiment and seed.
    """
    results, left_out = find_results(places)
    several = len({result.dataset for result in results}) > 1
    found = {}
    for result in results:
        name = f"{result.dataset} {result.name}" if several else result.name
        twin = found.setdefault(name, {}).setdefault(result.seed, result)
        if twin is not result:
            raise UserError(f"{twin.folder} and {result.folder} are both {name} with seed {result.seed}; give one")
    if reference not in (None, *found):
        raise UserError(f"--reference: there is no experiment {reference!r}; there are {', '.join(found)}")
    systems = [System(name, list(runs.values()), _scoring(name, runs.values())) for name, runs in found.items()]
    notes = [*(f"left out: {sentence}" for sentence in left_out), spent([r.content for r in results], price)]
    notes += _test_sets(results)
    for system in systems if copies else ():
        for result in system.results:
            write_copy(result, Path(copies) / system.name.replace("/", "_") / str(result.seed))
    return _write(systems, Path(out), reference, notes)


def _test_sets(results):
    """Yield a sentence for each dataset whose results are of several test sets."""
    found = {}
    for result in results:
        test = result.content.get("data", {}).get("splits", {}).get("test", {})
        if told := test.get("utterances"):
            size = f"{counted(told, 'utterance')} of {counted(test.get('characters', 0), 'letter')}"
            found.setdefault(result.dataset, {})[size] = None
    for dataset, sizes in found.items():
        if len(sizes) > 1:
            yield f"the test sets of {dataset} differ ({'; '.join(sizes)}): rates on different ones do not compare"


def write_report(groups, out, reference=None, missing=(), command=None):
    """Report on groups of result folders.

    Parameters
    ----------
    groups : list of Group
    out : Path
    reference : str, optional
        Name of the group that the others are compared with; the first by default.
    missing : list of str
        Sentences on what is not in the report.
    command : str, optional
        That made all the runs.
    """
    opened = {}
    systems = []
    for group in groups:
        results = [opened.setdefault(folder, Result.read(folder)) for folder in group.folders]
        systems.append(System(group.name, results, group.scoring or _scoring(group.name, results), group.same_as))
    return _write(systems, Path(out), reference, list(missing), command)


def _scoring(name, results):
    found = {result.scoring for result in results}
    if len(found) > 1:
        raise UserError(f"{name}: its runs are scored by {' and '.join(sorted(found))}; report on one kind at a time")
    return found.pop()


def _write(systems, out, reference, notes, command=None):
    by_name = {system.name: system for system in systems}
    if reference is not None and reference not in by_name:
        notes.append(f"nothing is compared: {reference} has no finished run")
    base = by_name.get(reference, systems[0]) if reference in (None, *by_name) else None
    table = summarise(systems, base, lambda work: Bar(work, desc="bootstrap", leave=False))
    out.mkdir(parents=True, exist_ok=True)
    with replacing(out / "table.csv") as path:  # first: it is there, whatever becomes of a picture
        tables.write_csv(path, table)
    write_text(out / "table.tex", tables.latex(table))
    images = plots.write_all(systems, table, base or systems[0], out)
    more = sections.write_all(systems, base or systems[0], out)
    write_text(out / "report.md", _page(systems, table, base, images, more, notes, command))
    return f"{tables.plain(table)}\nreport: {out / 'report.md'}"


def _page(systems, table, base, images, more, notes, command):
    parts = [f"# {', '.join(dict.fromkeys(s.results[0].dataset for s in systems))}", tables.markdown(table)]
    of_seeds = "\n".join(f"- {line}" for line in seeds.lines(table))
    parts.append(NOTES.format(reference=base.name if base else "the full model", seeds=of_seeds))
    parts += ["\n".join(f"- {note}" for note in notes)] if notes else []
    parts.append(HOURS)
    parts += [f"![{caption}]({name})\n\n{caption}" for name, caption in images]
    parts += more
    parts.append("\n".join(["## How it was made", "", *_origin(systems, command)]))
    return "\n\n".join(parts) + "\n"


def _origin(systems, command):
    """What all runs share, and what differs between them."""
    contents = [result.content for system in systems for result in system.results]
    for title, read in (
        ("commit", lambda c: c.get("commit")),
        ("processor", lambda c: c.get("processor")),
        ("device", lambda c: c.get("device")),
        ("threads", lambda c: c.get("threads")),
        ("epochs", lambda c: c.get("epochs")),
        ("training hours", lambda c: c.get("data", {}).get("splits", {}).get("train", {}).get("hours")),
        ("started from", lambda c: _start(c.get("pretrained"))),
    ):
        values = list(dict.fromkeys(str(read(c)) for c in contents if read(c) is not None))
        if values:
            yield f"- {title}: {', '.join(values)}"
    yield f"- all runs: `{command}`" if command else f"- first run: `{contents[0].get('command')}`"


def _start(about):
    """What a run started from, in words; None for one that did not."""
    name = about and about.get("experiment", about["folder"])
    if not about or "hours" not in about:
        return name
    return f"{name} of {duration(3600 * about['hours'])}, {counted(about['epochs'], 'epoch')}"
