"""What is in files of annotations, for people."""

from serenanet_modules.data.annotations import formats
from serenanet_modules.errors import UserError

HEAD = ("tier", "type", "participant", "in", "annotations", "seconds", "characters", "different", "untimed", "empty")
NUMBERS = HEAD.index("annotations")  # the first column of numbers
WIDEST = 32  # characters of a name


def documents(paths):
    """Yield each document of files, and of those in folders, or the `UserError` that says why a file has none."""
    for path in paths:
        for file in (path.is_dir() and formats.within(path)) or [path]:
            try:
                yield from formats.read(file)
            except UserError as error:
                yield error


def lines(document, media):
    """Yield the lines that say what a `Document` holds and where its recording is, by a `Media`."""
    try:
        path = media.find(document)
        sound = f"{path}" if path.is_file() else f"{path} (missing)"
    except UserError as error:
        sound = f"not looked for: {error}"
    several = f" ({document.name})" if document.name != document.path.stem else ""
    yield f"{document.path}{several}\n  recording: {sound}"
    rows = [HEAD, *(_row(tier) for tier in document.tiers)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    for row in rows:
        cells = [
            cell.rjust(width) if i >= NUMBERS else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  " + "  ".join(cells).rstrip()


def _row(tier):
    texts = [a.text for a in tier.annotations]
    names = [_short(name) for name in (tier.name, tier.type, tier.participant, tier.parent)]
    counts = (
        len(texts),
        f"{tier.seconds:.1f}",
        sum(map(len, texts)),
        len(set("".join(texts))),
        sum(not a.timed for a in tier.annotations),
        sum(not text.strip() for text in texts),
    )
    return (*names, *map(str, counts))


def _short(name):
    name = "".join(c if c.isprintable() else "�" for c in name)
    return (name if len(name) <= WIDEST else f"{name[: WIDEST - 1]}…") or "-"
