"""What ``serenanet ablate`` does: plan, carry out, report."""

import os
import tempfile
from pathlib import Path

from serenanet_modules.ablation.cost import cost
from serenanet_modules.ablation.local import LocalJobs, gpus
from serenanet_modules.ablation.plan import Planner
from serenanet_modules.ablation.schedule import Schedule, counts
from serenanet_modules.ablation.slurm import SlurmJobs
from serenanet_modules.ablation.suite import Suite
from serenanet_modules.ablation.values import read_values
from serenanet_modules.analysis.ranking import write_ranking
from serenanet_modules.analysis.report import Group, write_report
from serenanet_modules.config.settings import read_command_line
from serenanet_modules.data.recipe import Recipe
from serenanet_modules.runtime.amounts import counted
from serenanet_modules.runtime.files import locked
from serenanet_modules.runtime.outputs import Outputs

REPORT = "report"
FAILED = 1
QUEUE_PAUSE = 5.0  # seconds between two looks at Slurm's queue


def ablate(
    recipe, suite, seeds, arguments=(), *, base=None, values=(), out=None, only=None, pretraining_arguments=(), **how
):
    """Train every variant of a suite with every seed, then report.

    Parameters
    ----------
    recipe, suite : Path
    seeds : int
    arguments : list of str
        ``--key value`` for all runs.
    base : list of Path, optional
        Hyper-parameter files in place of the suite's base.
    values : list of str
        ``key=value,value`` each: a search over their combinations in place of the suite's variants.
    out : Path, optional
        Folder of all runs and of the report; by default
        ``results/<dataset>/<suite>/<the base's experiment>``; see `_default_folder`.
    only : list of str, optional
        Variants to be trained and reported, beside the full model where that is finished.
    pretraining_arguments : list of str
        ``--key value`` of the pre-trainings alone.
    **how
        ``jobs`` (at a time), ``sbatch`` (template), ``dry_run``, ``force`` to go on in a folder that no ablation has
        made, ``price`` of an hour of a GPU or machine, and ``line``: the command line, for the report.

    Returns
    -------
    int
        0; 1 where a run failed; 128 + a signal's number after one.
    """
    outputs = Outputs("ablate", [recipe, suite, *(base or ()), how.get("sbatch")], how.get("force"))
    suite = Suite.read(suite).with_options(base, list(pretraining_arguments))
    suite = suite.searching(read_values(values), "--values") if values else suite
    only = suite.only(only)
    out = Path(out) if out else _default_folder(recipe, suite, arguments)
    outputs.check_folder(out)
    if how.get("dry_run"):
        with tempfile.TemporaryDirectory() as work:
            print(listing(Planner(suite, recipe, out, arguments, work).plan(seeds, only), how.get("price")))
        return 0
    outputs.begin(out)
    with locked(out / ".lock", f"{out}: another ablation is using this folder; wait for it, or give --out"):
        plan = Planner(suite, recipe, out, arguments).plan(seeds, only)
        jobs = _jobs(how.get("jobs"), how.get("sbatch"))
        schedule = Schedule(plan.runs, jobs, QUEUE_PAUSE if jobs.ahead else 0.2)
        outcomes = schedule.carry_out()
        if schedule.signals:
            print(f"{counts(outcomes)}; the same command goes on from here")
            return 128 + schedule.signals[0]
        print(f"{counts(outcomes)}")
        tell = report_on_search if suite.search else report_on
        return tell(plan, outcomes, out, how.get("line"), how.get("price"))


def listing(plan, price=None):
    """The runs of a plan, what has been done of them, and what they cost, for people."""
    states = {run: run.state() for run in plan.runs}
    width = max(len(run.name) for run in plan.runs)
    lines = [f"{states[run]:<9} {run.name:<{width}}  {run.folder}" for run in plan.runs]
    for row in plan.rows:
        if row.same_as:
            lines.append(f"{row.name} has the same hyper-parameters as {row.same_as}: one training for both")
        elif row.scoring:
            lines.append(
                f"{row.name} needs no training: it is scored from the runs of {row.runs[0].folder.parent.name}"
            )
    done = [run for run, state in states.items() if state == "finished"]
    lines += cost(plan.runs, done, price)
    return "\n".join([*lines, f"{counted(len(states), 'run')}, {len(done)} of them finished"])


def _default_folder(recipe, suite, arguments):
    """Of a suite.yaml its folder's name, of another file its own; a search is apart from the variants."""
    name = "search" if suite.search else suite.file.stem
    name = suite.file.resolve().parent.name if name == "suite" else name
    plain = read_command_line(Recipe(recipe), [*map(str, suite.base), *arguments])[0].plain()
    return Path("results", plain["dataset"], name, plain["experiment"])


def _jobs(limit, template):
    if template:
        return SlurmJobs(Path(template), limit)
    return LocalJobs(limit or 1, gpus())


def report_on(plan, outcomes, out, line=None, price=None):
    """Report what has been finished, beside the full model if that has been; say what has not, and why."""
    finished = _finished(outcomes) | {run for run in plan.reference.runs if run.state() == "finished"}
    groups = _groups(dict.fromkeys([plan.reference, *plan.rows]), finished)
    return _tell(
        plan, outcomes, groups, price, lambda g, n: write_report(g, out / REPORT, plan.reference.name, n, line)
    )


def report_on_search(plan, outcomes, out, line=None, price=None):
    """Rank what has been finished by dev; say what has not, and why."""
    groups = _groups(plan.rows, _finished(outcomes))
    return _tell(plan, outcomes, groups, price, lambda g, n: write_ranking(g, out / REPORT, n, line))


def _finished(outcomes):
    return {outcome.run for outcome in outcomes if outcome.state == "finished"}


def _groups(rows, finished):
    folders = {row: [run.folder for run in row.runs if run in finished] for row in rows}
    return [Group(row.name, found, row.scoring, row.same_as) for row, found in folders.items() if found]


def _tell(plan, outcomes, groups, price, write):
    """Write about the groups that there are, tell what is missing, and what it cost; the status."""
    failed = _lines(outcome for outcome in outcomes if outcome.state != "finished")
    told = cost(plan.runs, _finished(outcomes), price)
    if groups:
        print(write(groups, [*failed, *told]))
    print(*told, *failed, sep="\n")
    return FAILED if failed else 0


def _lines(outcomes):
    return [f"{o.state} {os.path.relpath(o.run.folder)}: {o.detail}" for o in outcomes]
