"""``serenanet pseudo-label``."""

import math
import sys

from serenanet_modules.cli.opening import add_decoding, add_recogniser, add_spoken, opened
from serenanet_modules.cli.values import add_exclude, add_out, not_negative
from serenanet_modules.errors import UserError
from serenanet_modules.runtime.amounts import counted, duration

NOTHING = "nothing"


def add(commands, name):
    command = commands.add_parser(name, help="transcribe speech to train on: a manifest of what the model is sure of")
    add_recogniser(command)
    command.add_argument(
        "audio", metavar="AUDIO", nargs="+", help="files, folders, manifests; - for a list on standard input"
    )
    add_out(command, "FILE", "the manifest to write, a .csv", required=True)
    command.add_argument(
        "--min-confidence",
        type=not_negative,
        default=0.9,
        metavar="P",
        help="least confidence of a piece that is kept (0.9)",
    )
    add_exclude(command, "recordings, speakers and sentences")
    add_decoding(command)
    add_spoken(command)
    command.set_defaults(run=_label)


def _label(arguments):
    """Status 1 where some recordings could not be read; where none could, nothing is written."""
    from serenanet_modules.data.held_out import HeldOut
    from serenanet_modules.inference import files, pseudo_labels
    from serenanet_modules.runtime.outputs import Outputs

    a = arguments
    if a.min_confidence > 1:
        raise UserError(f"--min-confidence {a.min_confidence:g}: give a number from 0 to 1")
    if a.out.suffix.lower() != ".csv":
        raise UserError(f"--out {a.out}: a manifest's name ends in .csv")
    outputs = Outputs("pseudo-label", [a.folder, *a.audio, *a.exclude, a.lm], a.force)
    outputs.check(a.out)
    recognizer = opened(a)
    locale = recognizer.run.locale
    candidates, held_out = pseudo_labels.recordings(a.audio, locale, sys.stdin.buffer), HeldOut.read(a.exclude, locale)
    files.check_there(c.path for c in candidates)
    options = (a.lm, a.batch_seconds, True)
    labels = pseudo_labels.label(recognizer, candidates, a.min_confidence, held_out, a.out, *options)
    for error in labels.errors:
        print(f"error: {error}", file=sys.stderr)
    told = ", ".join(f"{number} {reason}" for reason, number in labels.left_out.items() if number) or NOTHING
    if not labels.rows and labels.errors and told == NOTHING:
        return 1
    if not labels.rows:
        raise UserError(f"{a.out}: no piece of the audio is left (left out: {told}){_advice(labels.surest)}")
    pseudo_labels.write(a.out, labels.rows)
    outputs.made(a.out)
    print(f"left out: {told}", _kept(labels, a.out), sep="\n")
    if note := _note(recognizer, a.lm):
        print(f"note: {note}")
    return int(bool(labels.errors))


def _note(recognizer, lm):
    """How far confidences are to be believed, "" where dev has told."""
    from serenanet_modules.inference.weighing import is_own

    if recognizer.run.calibration(recognizer.decoder(lm)) is None:
        return "the confidences of this decoder are not calibrated, and mostly too high; give a higher --min-confidence"
    if lm is not None and not is_own(recognizer.run, lm):
        return f"dev has calibrated the confidences with another language model than {lm}; look at what was kept"
    return ""


def _advice(surest):
    """What to do where nothing was sure enough; nothing where no piece could be kept."""
    least = math.floor(100 * surest) / 100
    return f"; give a lower --min-confidence, such as {least:g}: the surest has {surest:.3f}" if surest else ""


def _kept(labels, out):
    """What was labelled, for people."""
    kept, of = duration(sum(row["seconds"] for row in labels.rows)), duration(labels.seconds)
    return f"{out}: {counted(len(labels.rows), 'piece')}, {kept} of {of}, by {labels.rows[0]['labelled_by']}"
