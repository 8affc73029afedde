"""``serenanet tiers``."""

import sys
from pathlib import Path

from serenanet_modules.cli.values import add_out, place
from serenanet_modules.errors import UserError


def add(commands, name):
    command = commands.add_parser(name, help="list the tiers of annotated recordings (ELAN, Praat, …), and their media")
    command.add_argument("files", type=place, metavar="FILE", nargs="+", help="annotation files; folders of them")
    command.add_argument("--audio-folder", metavar="DIR", help="folder to search for recordings, at any depth")
    add_out(command, "FILE.eaf|FILE.TextGrid", "write the tiers of one recording for ELAN or Praat")
    command.set_defaults(run=_tiers)


def _tiers(arguments):
    """List what can be read; the status is 1 where a file cannot be."""
    from serenanet_modules.data.annotations.listing import documents, lines
    from serenanet_modules.data.annotations.media import Media
    from serenanet_modules.runtime.outputs import Outputs

    media = Media(arguments.audio_folder, filter(Path.is_dir, arguments.files))
    found = list(documents(arguments.files))
    for document in found:
        if isinstance(document, UserError):
            print(f"error: {document}", file=sys.stderr)
        elif not arguments.out:
            print(*lines(document, media), "", sep="\n")
    if any(isinstance(document, UserError) for document in found):
        return 1
    if arguments.out:
        _convert(found, media, arguments.out, Outputs("tiers", arguments.files, arguments.force))
    return 0


def _convert(found, media, out, outputs):
    from serenanet_modules.data.annotations import elan_writing, textgrid
    from serenanet_modules.data.annotations.media import origin

    writers = {".eaf": elan_writing.write, ".textgrid": textgrid.write}
    if out.suffix.lower() not in writers:
        raise UserError(f"--out {out}: ends neither in .eaf nor in .TextGrid")
    if len(found) != 1:
        raise UserError(f"--out {out}: can hold one recording, and there are {len(found)}; give one")
    (document,) = found
    recording = media.find(document)
    outputs.check(out)
    outputs.write(out, writers[out.suffix.lower()](document.of(recording, origin(document, recording))))
    print(out)
