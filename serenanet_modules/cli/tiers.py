"""``serenanet tiers``."""

import sys
from pathlib import Path

from serenanet_modules.errors import UserError


def add(commands, name):
    command = commands.add_parser(name, help="list the tiers of annotated recordings (ELAN, Praat, …), and their media")
    command.add_argument("files", metavar="FILE", nargs="+", help="annotation files; folders of them")
    command.add_argument(
        "--audio-folder", metavar="DIR", help="where recordings that are not beside their files may lie"
    )
    command.set_defaults(run=_tiers)


def _tiers(arguments):
    """List what can be read; the status is 1 where a file cannot be."""
    from serenanet_modules.data.annotations.listing import documents, lines
    from serenanet_modules.data.annotations.media import Media

    media, status = Media(arguments.audio_folder), 0
    for found in documents(map(Path, arguments.files)):
        if isinstance(found, UserError):
            print(f"error: {found}", file=sys.stderr)
            status = 1
        else:
            print(*lines(found, media), "", sep="\n")
    return status
