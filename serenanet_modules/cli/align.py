"""``serenanet align``."""

import os
from pathlib import Path

from serenanet_modules.cli.opening import add_recogniser, add_speakers, opened
from serenanet_modules.cli.values import add_out, formats_of, place
from serenanet_modules.errors import UserError
from serenanet_modules.runtime.amounts import counted

FORMATS = ("textgrid", "ctm", "eaf", "json", "words")
SHOWN = 20  # words


def add(commands, name):
    command = commands.add_parser(name, help="align a known text: find when each word is said")
    add_recogniser(command)
    command.add_argument("audio", metavar="AUDIO", type=place, help="audio of any rate, channel count and format")
    command.add_argument("text", metavar="TEXT", help="what is said in it, or a UTF-8 file with that")
    command.add_argument("--locale", help="the text's, of a run on several languages (the run's)")
    command.add_argument(
        "--unknown",
        choices=("error", "skip", "nearest"),
        default="error",
        help="letters without a unit: refuse the text (error), leave them out (skip), or take the nearest",
    )
    command.add_argument(
        "--format",
        type=formats_of(FORMATS),
        default=["textgrid", "ctm"],
        metavar=",".join(FORMATS),
        help="what to write (textgrid,ctm); words: a table of each word, its times, and whether it was found",
    )
    add_speakers(command)
    add_out(command, "FILE.TextGrid", "where to write; other formats go beside it (beside AUDIO)")
    command.set_defaults(run=_align)


def _align(arguments):
    from serenanet_modules.inference.align import align_text
    from serenanet_modules.inference.formats import SUFFIXES, write
    from serenanet_modules.inference.speakers import naming
    from serenanet_modules.runtime.files import one_line
    from serenanet_modules.runtime.outputs import Outputs

    text = _text(arguments.text)
    if not arguments.audio.is_file():
        raise UserError(f"{arguments.audio}: there is no such file of audio")
    grid = arguments.out or arguments.audio.with_suffix(".TextGrid")
    if "textgrid" in arguments.format and grid.suffix.lower() != ".textgrid":
        raise UserError(f"--out {grid}: a TextGrid's name ends in .TextGrid")
    files = {name: grid if name == "textgrid" else grid.with_suffix(f".{SUFFIXES[name]}") for name in arguments.format}
    texts = [arguments.text] if os.path.isfile(arguments.text) else []
    outputs = Outputs("align", [arguments.folder, arguments.audio, *texts], arguments.force)
    outputs.check(*files.values())
    transcript = align_text(
        opened(arguments), arguments.audio, text, locale=arguments.locale, unknown=arguments.unknown
    )
    (segment,) = transcript.segments
    transcript = naming(arguments.speakers)(transcript, {"": arguments.audio})
    for format, path in files.items():
        outputs.write(path, write(transcript, format, str(arguments.audio), path))
        print(one_line(str(path)))
    words, tokens = counted(len(segment.words), "word"), counted(len(segment.tokens), "token")
    kind = "confidence" if transcript.calibrated else "uncalibrated confidence"
    print(f"{words}, {tokens}, {kind} {segment.confidence:.2f}")
    _doubts(transcript)
    return 0


def _doubts(transcript):
    """Name the words that have no place, and those of low confidence where they are placed."""
    from serenanet_modules.inference.formats import HEARD

    doubtful = [f"{w.text} at {w.start:.2f} s" for w in transcript.words if w.confidence < HEARD]
    unplaced = [word.text for word in transcript.unplaced]
    for title, found in (("not placed", unplaced), ("low confidence", doubtful)):
        if found:
            more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
            print(f"{title} ({len(found)}): {', '.join(found[:SHOWN])}{more}")


def _text(argument):
    from serenanet_modules.runtime.files import names_a_file

    if not os.path.isfile(argument):  # which, unlike Path's, bears a text too long for a name
        if names_a_file(argument):
            raise UserError(f"{argument}: there is no such file of text")
        return argument
    try:
        return Path(argument).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{argument}: is not a UTF-8 text file") from None
