"""``serenanet transcribe``."""

import sys

from serenanet_modules.errors import UserError


def add(commands, name):
    command = commands.add_parser(name, help="print the text of audio files")
    command.add_argument("folder", metavar="RESULT_DIR", help="results/<dataset>/<experiment>/<seed> of a finished run")
    command.add_argument("files", metavar="FILE", nargs="+", help="audio of any rate, channel count, format, length")
    command.add_argument(
        "--lm", metavar="PATH|auto", help="beam search with this ARPA model, or with the one of the run (auto)"
    )
    command.add_argument("--device", help="cpu, cuda, cuda:0, …; by default a GPU where there is one")
    command.add_argument(
        "--batch-seconds", type=float, default=120.0, metavar="S", help="padded audio read at a time (120)"
    )
    command.set_defaults(run=_transcribe)


def _transcribe(arguments):
    """Print texts as they come; a file that cannot be read is reported, and the others go on."""
    import torch

    from serenanet_modules.inference.recognizer import Recognizer
    from serenanet_modules.threads import share_cores

    share_cores()
    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    recognizer = Recognizer.from_folder(arguments.folder, device)
    files, status = arguments.files, 0
    found = recognizer.transcripts(files, arguments.batch_seconds, arguments.lm, progress=sys.stderr.isatty())
    for file, transcript in zip(files, found, strict=True):
        if isinstance(transcript, UserError):
            print(f"error: {transcript}", file=sys.stderr)
            status = 1
        else:
            print(f"{file}\t{transcript.text}" if len(files) > 1 else transcript.text, flush=True)
    return status
