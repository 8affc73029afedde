"""``serenanet rank``."""

import sys

from serenanet_modules.cli.opening import add_recogniser, opened
from serenanet_modules.cli.values import add_out, add_switch, not_negative, positive
from serenanet_modules.runtime.amounts import counted, duration


def add(commands, name):
    command = commands.add_parser(name, help="rank recordings: which to transcribe next")
    add_recogniser(command)
    command.add_argument("audio", metavar="AUDIO", nargs="+", help="files, folders; - for a list on standard input")
    add_out(command, "FILE", "the table, tab-separated (standard output)")
    command.add_argument("--seconds", type=positive, metavar="S", help="seconds of audio to choose (all)")
    add_switch(command, "--whole", "rank whole recordings, not pieces of up to 30 s")
    for name, usual, what in (
        ("--doubt", 0.0, "low confidence"),
        ("--novelty", 0.0, "character trigrams that no transcript has"),
        ("--distance", 1.0, "sound unlike what was chosen before"),
    ):
        command.add_argument(name, type=not_negative, default=usual, metavar="N", help=f"weight of {what} ({usual:g})")
    command.add_argument(
        "--batch-seconds", type=positive, default=120.0, metavar="S", help="audio read at a time (120)"
    )
    command.set_defaults(run=_rank)


def _rank(arguments):
    """Status 1 where some recordings could not be read; where none could, nothing is written."""
    from serenanet_modules.errors import UserError
    from serenanet_modules.inference import files, ranking
    from serenanet_modules.runtime.files import replacing
    from serenanet_modules.runtime.outputs import Outputs

    a = arguments
    outputs = Outputs("rank", [a.folder, *a.audio], a.force)
    if a.out:
        outputs.check(a.out)
    paths = [file.path for file in files.find(a.audio, sys.stdin.buffer)]
    files.check_there(paths)
    recognizer, found, failed = opened(a), [], 0
    for pieces in ranking.items(recognizer, paths, a.batch_seconds):
        if isinstance(pieces, UserError):
            print(f"error: {pieces}", file=sys.stderr)
            failed += 1
        elif pieces:
            found += [ranking.whole(pieces)] if a.whole else pieces
    if not found and not failed:
        raise UserError("nothing sounds in the audio, so there is nothing to rank")
    if not found:
        return 1
    weights = ranking.Weights(a.doubt, a.novelty, a.distance)
    choices = ranking.rank(found, ranking.known_grams(recognizer.folder), weights, a.seconds)
    if a.out is None:
        ranking.write(choices, sys.stdout)
        return int(failed > 0)
    with (
        replacing(a.out) as partial,
        open(partial, "w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        ranking.write(choices, file)
    outputs.made(a.out)
    spoken = duration(sum(choice.item.seconds for choice in choices))
    print(f"{a.out}: {len(choices)} of {counted(len(found), 'recording' if a.whole else 'piece')}, {spoken}")
    return int(failed > 0)
