"""What ``serenanet ablate`` does: plan, carry out, report."""

import os
import tempfile
from pathlib import Path

from serenanet_modules.ablation.local import LocalJobs, gpus
from serenanet_modules.ablation.plan import Planner
from serenanet_modules.ablation.schedule import Schedule, counts
from serenanet_modules.ablation.slurm import SlurmJobs
from serenanet_modules.ablation.suite import Suite
from serenanet_modules.analysis.report import Group, write_report
from serenanet_modules.config.settings import read_command_line
from serenanet_modules.data.recipe import Recipe
from serenanet_modules.runtime.files import locked
from serenanet_modules.runtime.outputs import Outputs

REPORT = "report"
FAILED = 1
QUEUE_PAUSE = 5.0  # seconds between two looks at Slurm's queue


def ablate(recipe, suite, seeds, arguments=(), *, base=None, out=None, only=None, pretraining_arguments=(), **how):
    """Train every variant of a suite with every seed, then report.

    Parameters
    ----------
    recipe, suite : Path
    seeds : int
    arguments : list of str
        ``--key value`` for all runs.
    base : list of Path, optional
        Hyper-parameter files in place of the suite's base.
    out : Path, optional
        Folder of all runs and of the report; by default
        ``results/<dataset>/<suite's folder>/<the base's experiment>``.
    only : list of str, optional
        Variants to be trained and reported, beside the full model where that is finished.
    pretraining_arguments : list of str
        ``--key value`` of the pre-trainings alone.
    **how
        ``jobs`` (at a time), ``sbatch`` (template), ``dry_run``, ``force`` to go on in a folder that no ablation has
        made, and ``line``: the command line, for the report.

    Returns
    -------
    int
        0; 1 where a run failed; 128 + a signal's number after one.
    """
    outputs = Outputs("ablate", [recipe, suite, *(base or ()), how.get("sbatch")], how.get("force"))
    suite = Suite.read(suite).with_options(base, list(pretraining_arguments))
    only = suite.only(only)
    out = Path(out) if out else _default_folder(recipe, suite, arguments)
    outputs.check_folder(out)
    if how.get("dry_run"):
        with tempfile.TemporaryDirectory() as work:
            print(listing(Planner(suite, recipe, out, arguments, work).plan(seeds, only)))
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
        return report_on(plan, outcomes, out, how.get("line"))


def listing(plan):
    """The runs of a plan and what has been done of them, for people."""
    states = {run: run.state() for run in plan.runs}
    width = max(len(run.name) for run in plan.runs)
    lines = [f"{states[run]:<9} {run.name:<{width}}  {run.folder}" for run in plan.runs]
    for row in plan.rows:
        if row.same_as:
            lines.append(f"{row.name} is {row.same_as}: the same hyper-parameters")
        elif row.scoring:
            lines.append(f"{row.name} is read from the runs of {row.runs[0].folder.parent.name}")
    done = sum(state == "finished" for state in states.values())
    return "\n".join([*lines, f"{len(states)} runs, {done} of them finished"])


def _default_folder(recipe, suite, arguments):
    plain = read_command_line(Recipe(recipe), [*map(str, suite.base), *arguments])[0].plain()
    return Path("results", plain["dataset"], suite.file.resolve().parent.name, plain["experiment"])


def _jobs(limit, template):
    if template:
        return SlurmJobs(Path(template), limit)
    return LocalJobs(limit or 1, gpus())


def report_on(plan, outcomes, out, line=None):
    """Report what has been finished, beside the full model if that has been; say what has not, and why."""
    finished = {outcome.run for outcome in outcomes if outcome.state == "finished"}
    finished |= {run for run in plan.reference.runs if run.state() == "finished"}
    rows = dict.fromkeys([plan.reference, *plan.rows])
    groups = [
        Group(row.name, [run.folder for run in row.runs if run in finished], row.scoring, row.same_as) for row in rows
    ]
    groups = [group for group in groups if group.folders]
    failed = [outcome for outcome in outcomes if outcome.state != "finished"]
    if groups:
        print(write_report(groups, out / REPORT, plan.reference.name, _lines(failed), line))
    for line in _lines(failed):
        print(line)
    return FAILED if failed else 0


def _lines(outcomes):
    return [f"{o.state} {os.path.relpath(o.run.folder)}: {o.detail}" for o in outcomes]
