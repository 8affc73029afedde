"""``serenanet adapt``."""

from serenanet_modules.cli.opening import add_run
from serenanet_modules.cli.values import add_out, count, not_negative, pairs, place, positive, whole


def add(commands, name):
    command = commands.add_parser(
        name,
        help="train a finished model on corrected recordings",
        epilog="Further --key value pairs are hyper-parameters of the training, such as --freeze encoder.",
    )
    add_run(command)
    helped = "annotations beside their recordings, manifests, and folders of either"
    command.add_argument("corrected", nargs="+", metavar="CORRECTED", help=helped)
    add_out(command, "NEW", "the result folder to make", required=True)
    command.add_argument("--tier", help="tier with the transcription: name, type, participant, or regular expression")
    command.add_argument(
        "--audio-folder", type=place, metavar="DIR", help="folder to search for their recordings, at any depth"
    )
    helped = "speech the model was trained on (its prepared data, if still there)"
    command.add_argument("--data", nargs="+", type=place, default=(), metavar="DIR|FILE", help=helped)
    helped = "seconds of old speech for each corrected second (1), at least an hour; 0 for none"
    command.add_argument("--old", type=not_negative, default=1.0, metavar="N", help=helped)
    command.add_argument("--epochs", type=count, default=5, metavar="N", help="epochs of training (5)")
    helped = "learning rate, as a share of that of the model's training (0.2)"
    command.add_argument("--rate", type=positive, default=0.2, metavar="N", help=helped)
    helped = "share of the old weights in the mean of old and new (0.5); more forgets less"
    command.add_argument("--keep", type=not_negative, default=0.5, metavar="N", help=helped)
    command.add_argument("--seed", type=whole, default=1986, metavar="N", help="random seed (1986)")
    command.add_argument("--device", help="cpu, cuda, cuda:0, …; by default a GPU where there is one")
    command.set_defaults(run=_adapt, takes_more=True)


def _adapt(arguments):
    from serenanet_modules.errors import UserError
    from serenanet_modules.inference.adaptation import Adaptation, Plan, report
    from serenanet_modules.runtime.outputs import Outputs
    from serenanet_modules.runtime.threads import best_device

    a = arguments
    outputs = Outputs("adapt", [a.folder, *a.corrected, *a.data], a.force)
    outputs.check_folder(a.out)
    if a.keep > 1:
        raise UserError(f"--keep {a.keep:g}: give a number from 0 to 1")
    plan = Plan(a.epochs, a.rate, a.old, a.keep, seed=a.seed, more=tuple(pairs(a.more)))
    adaptation = Adaptation(a.folder, a.out, plan, a.device or best_device())
    adaptation.read(a.corrected, a.data, tier=a.tier, audio_folder=a.audio_folder)
    outputs.begin(a.out)
    print(*report(adaptation.run(), a.out), sep="\n")
    return 0
