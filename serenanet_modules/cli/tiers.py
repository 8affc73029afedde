"""``serenanet tiers``."""

import sys
from dataclasses import replace
from pathlib import Path

from serenanet_modules.errors import UserError


def add(commands, name):
    command = commands.add_parser(name, help="list the tiers of annotated recordings (ELAN, Praat, …), and their media")
    command.add_argument("files", metavar="FILE", nargs="+", help="annotation files; folders of them")
    command.add_argument(
        "--audio-folder", metavar="DIR", help="where recordings that are not beside their files may lie"
    )
    command.add_argument(
        "--out", type=Path, metavar="FILE.eaf|FILE.TextGrid", help="write the tiers of one recording for ELAN or Praat"
    )
    command.set_defaults(run=_tiers)


def _tiers(arguments):
    """List what can be read; the status is 1 where a file cannot be."""
    from serenanet_modules.data.annotations.listing import documents, lines
    from serenanet_modules.data.annotations.media import Media

    media, found = Media(arguments.audio_folder), list(documents(map(Path, arguments.files)))
    for document in found:
        if isinstance(document, UserError):
            print(f"error: {document}", file=sys.stderr)
        elif not arguments.out:
            print(*lines(document, media), "", sep="\n")
    if any(isinstance(document, UserError) for document in found):
        return 1
    if arguments.out:
        _convert(found, media, arguments.out)
    return 0


def _convert(found, media, out):
    from serenanet_modules.data.annotations import elan_writing, textgrid
    from serenanet_modules.inference.files import save

    writers = {".eaf": elan_writing.write, ".textgrid": textgrid.write}
    if out.suffix.lower() not in writers:
        raise UserError(f"--out {out}: ends neither in .eaf nor in .TextGrid")
    if len(found) != 1:
        raise UserError(f"--out {out}: holds one recording, and there are {len(found)}")
    (document,) = found
    if out.exists() and out.samefile(document.path):
        raise UserError(f"--out {out}: is the file that is read")
    save(out, writers[out.suffix.lower()](replace(document, media=(str(media.find(document)),))))
    print(out)
