"""``serenanet ablate``."""

from serenanet_modules.cli.values import add_out, add_price, add_switch, carried, count, names, place, words


def add(commands, name):
    command = commands.add_parser(name, help="train every variant of a suite with several seeds, and report")
    command.add_argument("--recipe", required=True, type=carried, help="folder such as recipes/CommonVoice/sw")
    command.add_argument("--suite", required=True, type=carried, help="file such as hparams/ablations/suite.yaml")
    command.add_argument("--seeds", type=count, default=3, metavar="N", help="runs per variant (3)")
    command.add_argument("--base", type=carried, nargs="+", metavar="FILE", help="files in place of the suite's base")
    command.add_argument(
        "--values", nargs="+", default=(), metavar="KEY=A,B", help="a search over all combinations, ranked by dev"
    )
    command.add_argument("--only", type=names, metavar="A,B", help="these variants alone")
    add_out(command, "DIR", "folder of all runs and of the report; the same command goes on there")
    command.add_argument("--jobs", type=count, metavar="N", help="runs at a time (1; with --sbatch no limit)")
    command.add_argument("--sbatch", type=place, metavar="TEMPLATE", help="submit the runs to Slurm with this script")
    command.add_argument(
        "--pretraining-arguments",
        type=words,
        default=(),
        metavar="'--key value …'",
        help="hyper-parameters of the pre-trainings only",
    )
    add_price(command)
    add_switch(command, "--dry-run", "list the runs, which are finished, and what the others may cost")
    command.add_argument("arguments", nargs="*", metavar="-- --key value …", help="hyper-parameters for every run")
    command.set_defaults(run=_ablate)


def _ablate(arguments):
    from serenanet_modules.ablation.command import ablate

    options = dict(vars(arguments))
    for name in ("command", "run"):
        del options[name]
    return ablate(**options)
