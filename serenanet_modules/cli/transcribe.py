"""``serenanet transcribe``."""

import sys
from pathlib import Path

from serenanet_modules.cli.opening import add_decoding, add_recogniser, opened
from serenanet_modules.cli.values import positive
from serenanet_modules.errors import UserError

FORMATS = ("txt", "json", "srt", "vtt", "tsv", "ctm", "textgrid")


def add(commands, name):
    command = commands.add_parser(name, help="write the text of audio, with times where the format has them")
    add_recogniser(command)
    command.add_argument(
        "files", metavar="FILE", nargs="+", help="audio of any rate, channels, format, length; folders; - for a list"
    )
    command.add_argument("--format", choices=FORMATS, default="txt", help="what to write (txt)")
    command.add_argument("--out", type=Path, metavar="DIR", help="write a file for each audio file")
    add_decoding(command)
    command.add_argument(
        "--piece-seconds", type=positive, metavar="N", help="what is longer is cut at pauses (as training's utterances)"
    )
    command.set_defaults(run=_transcribe)


def _transcribe(arguments):
    """Write texts as they come; a file that cannot be read is reported, and the others go on."""
    from tqdm import tqdm

    from serenanet_modules.inference import files, formats

    found = files.find(arguments.files, sys.stdin.buffer)
    if len(found) > 1 and not arguments.out and arguments.format not in formats.SEVERAL:
        raise UserError(f"--format {arguments.format}: holds one recording; for {len(found)} files give --out DIR")
    recognizer = opened(arguments)
    paths = files.outputs(found, arguments.out or Path(), formats.SUFFIXES[arguments.format])
    transcripts = recognizer.transcripts(
        *((file.path for file in found), arguments.batch_seconds, arguments.lm, sys.stderr.isatty()),
        arguments.piece_seconds,
    )
    status = 0
    for file, path, transcript in zip(found, paths, transcripts, strict=True):
        if isinstance(transcript, UserError):
            tqdm.write(f"error: {transcript}", file=sys.stderr)
            status = 1
            continue
        text = formats.write(transcript, arguments.format, file.name)
        if arguments.out:
            files.save(path, text)
            continue
        tqdm.write(f"{file.name}\t{text}" if arguments.format == "txt" and len(found) > 1 else text, end="")
        sys.stdout.flush()
    return status
