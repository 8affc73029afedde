"""EXMARaLDA's basic transcriptions, ``.exb`` (Schmidt and Wörner 2014, "EXMARaLDA")."""

from serenanet_modules.data.annotations.model import Annotation, Document, Tier, spread
from serenanet_modules.data.annotations.opening import seconds, xml_of
from serenanet_modules.errors import UserError

TRANSCRIPTION = "t"  # the type of tiers of what is said


def read(path):
    """The tiers, those of descriptions and annotations within the transcription of the same speaker.

    Points of the time line without a time lie evenly between their neighbours.

    Returns
    -------
    list of Document
        One.

    Raises
    ------
    UserError
    """
    root = xml_of(path, "basic-transcription")
    points = {}
    for point in root.iter("tli"):
        at = point.get("time")
        points[point.get("id")] = None if at is None else seconds(at, f"{path}: time line")
    times = dict(zip(points, spread(list(points.values())), strict=True))
    people = {s.get("id"): s.findtext("abbreviation") or s.get("id") for s in root.iter("speaker")}
    elements, names = list(root.iter("tier")), {}
    for tier in elements:
        name = tier.get("display-name") or tier.get("id") or ""
        names[tier] = name if name and name not in names.values() else f"{name} {tier.get('id') or len(names)}".strip()
    said = {t.get("speaker"): names[t] for t in reversed(elements) if t.get("type") == TRANSCRIPTION}
    tiers = []
    for tier in elements:
        speaker = tier.get("speaker")
        parent = "" if tier.get("type") == TRANSCRIPTION else said.get(speaker, "")
        found = tuple(_annotation(event, times, path) for event in tier.iter("event"))
        tiers.append(Tier(names[tier], found, people.get(speaker, ""), tier.get("category") or "", parent))
    media = tuple(filter(None, (file.get("url") for file in root.iter("referenced-file"))))
    return [Document(path, tuple(tiers), media)]


def _annotation(event, times, path):
    for name in (event.get("start"), event.get("end")):
        if name not in times:
            raise UserError(f"{path}: the point in time {name!r:.40} is referred to but does not exist.")
    return Annotation("".join(event.itertext()), times[event.get("start")], times[event.get("end")])
