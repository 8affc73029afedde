"""``serenanet transcribe``."""

import sys
from pathlib import Path

from serenanet_modules.cli.values import positive
from serenanet_modules.errors import UserError

FORMATS = ("txt", "json", "srt", "vtt", "tsv", "ctm", "textgrid")


def add(commands, name):
    command = commands.add_parser(name, help="write the text of audio, with times where the format has them")
    command.add_argument("folder", metavar="RESULT_DIR", help="results/<dataset>/<experiment>/<seed> of a finished run")
    command.add_argument(
        "files", metavar="FILE", nargs="+", help="audio of any rate, channels, format, length; folders; - for a list"
    )
    command.add_argument("--format", choices=FORMATS, default="txt", help="what to write (txt)")
    command.add_argument("--out", type=Path, metavar="DIR", help="write a file for each audio file")
    command.add_argument(
        "--lm", metavar="PATH|auto", help="beam search with this language model, or with that of the run (auto)"
    )
    command.add_argument("--device", help="cpu, cuda, cuda:0, …; by default a GPU where there is one")
    command.add_argument(
        "--batch-seconds", type=positive, default=120.0, metavar="N", help="padded audio read at a time (120)"
    )
    command.set_defaults(run=_transcribe)


def _transcribe(arguments):
    """Write texts as they come; a file that cannot be read is reported, and the others go on."""
    from tqdm import tqdm

    from serenanet_modules.inference import files, formats
    from serenanet_modules.inference.recognizer import Recognizer
    from serenanet_modules.runtime.threads import best_device, share_cores

    share_cores()
    found = files.find(arguments.files, sys.stdin.buffer)
    if len(found) > 1 and not arguments.out and arguments.format not in formats.SEVERAL:
        raise UserError(f"--format {arguments.format}: holds one recording; for {len(found)} files give --out DIR")
    recognizer = Recognizer.from_folder(arguments.folder, arguments.device or best_device())
    paths = files.outputs(found, arguments.out or Path(), formats.SUFFIXES[arguments.format])
    transcripts = recognizer.transcripts(
        (file.path for file in found), arguments.batch_seconds, arguments.lm, progress=sys.stderr.isatty()
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
