"""ELAN's ``.eaf``, format 2.x and 3.0.

Wittenburg et al. 2006, "ELAN: a professional framework for multimodality research".
"""

import itertools
from collections import defaultdict
from dataclasses import dataclass

from serenanet_modules.data.annotations.model import Annotation, Document, Tier, spread
from serenanet_modules.data.annotations.opening import seconds, xml_of
from serenanet_modules.errors import UserError

ROOT = "ANNOTATION_DOCUMENT"
UNITS = {"milliseconds": 1e-3, "PAL-frames": 1 / 25, "NTSC-frames": 1001 / 30000}  # seconds
ASSOCIATED = "Symbolic_Association"  # the type of tiers whose annotations have all of their parent's time


@dataclass
class _Raw:
    """An annotation as it stands in the file: time slots, or another annotation's name."""

    id: str
    text: str
    slots: tuple = ()
    parent: str = ""
    before: str = ""  # which of the same parent it follows


def read(path):
    """The tiers of a file, each annotation with times.

    Time slots without a time divide what lies between their tier's neighbours that have one into equal parts, as ELAN
    shows them. So do symbolic subdivisions the annotation that they belong to; symbolic associations have all its time.
    A tier without a participant has that of the tier above it. Times are the file's own.

    Returns
    -------
    list of Document
        One.

    Raises
    ------
    UserError
        For what is no ELAN file; a time slot, annotation or tier that is referred to but does not exist; tiers or
        annotations that lie inside themselves.
    """
    root = xml_of(path, ROOT)
    header = root.find("HEADER")
    header = {} if header is None else header
    unit = UNITS.get(header.get("TIME_UNITS") or "milliseconds")
    if unit is None:
        raise UserError(f"{path}: its TIME_UNITS are {header.get('TIME_UNITS')!r:.40}, not {', '.join(UNITS)}.")
    media = [*header.iter("MEDIA_DESCRIPTOR")] if len(header) else []
    elements = _tiers_by_name(root, path)
    raw = {name: [_raw(a, path) for a in element.iter("ANNOTATION")] for name, element in elements.items()}
    types = {t.get("LINGUISTIC_TYPE_ID"): t.get("CONSTRAINTS") or "" for t in root.iter("LINGUISTIC_TYPE")}
    times = _Times(path, _slots(root, path, unit), raw, {
        name: types.get(element.get("LINGUISTIC_TYPE_REF")) == ASSOCIATED for name, element in elements.items()
    })  # fmt: skip
    tiers = tuple(
        Tier(
            name,
            tuple(Annotation(a.text, *times.of(a.id), id=a.id) for a in raw[name]),
            _participant(name, elements),
            element.get("LINGUISTIC_TYPE_REF") or "",
            element.get("PARENT_REF") or "",
        )
        for name, element in elements.items()
    )
    origins = {}
    for kind, m in itertools.product(("RELATIVE_MEDIA_URL", "MEDIA_URL"), media):
        if name := m.get(kind):
            origins.setdefault(name, seconds(m.get("TIME_ORIGIN") or 0, f"{path}: TIME_ORIGIN", 1e-3))
    return [Document(path, tiers, tuple(origins), origins=tuple(origins.values()))]


def _tiers_by_name(root, path):
    """Elements of tiers, in order, none of them twice and none above itself."""
    elements = {}
    for element in root.iter("TIER"):
        name = element.get("TIER_ID") or ""
        if not name or name in elements:
            raise UserError(f"{path}: has " + (f"two tiers {name!r:.60}." if name else "a tier without a name."))
        elements[name] = element
    known_good = {""}
    for name in elements:
        above, passed = name, []
        while above not in known_good:
            passed.append(above)
            parent = elements[above].get("PARENT_REF") or ""
            if parent in passed:
                raise UserError(f"{path}: the tier {parent!r:.60} is its own parent; correct it in ELAN.")
            if parent and parent not in elements:
                raise UserError(
                    f"{path}: the parent {parent!r:.60} of the tier {above!r:.60} does not exist; correct it in ELAN."
                )
            above = parent
        known_good.update(passed)
    return elements


def _participant(name, elements):
    while name and not elements[name].get("PARTICIPANT"):
        name = elements[name].get("PARENT_REF")
    return elements[name].get("PARTICIPANT") if name else ""


def _raw(annotation, path):
    inside = next(iter(annotation), None)
    name = "" if inside is None else inside.get("ANNOTATION_ID") or ""
    if not name:
        raise UserError(f"{path}: has an annotation without an ANNOTATION_ID.")
    text = inside.findtext("ANNOTATION_VALUE") or ""
    if inside.tag == "ALIGNABLE_ANNOTATION":
        return _Raw(name, text, (inside.get("TIME_SLOT_REF1") or "", inside.get("TIME_SLOT_REF2") or ""))
    return _Raw(name, text, (), inside.get("ANNOTATION_REF") or "", inside.get("PREVIOUS_ANNOTATION") or "")


def _slots(root, path, unit):
    """Seconds of each time slot, None where it has no time, in their order."""
    slots = {}
    for slot in root.iter("TIME_SLOT"):
        name, value = slot.get("TIME_SLOT_ID") or "", slot.get("TIME_VALUE")
        if name in slots:
            raise UserError(f"{path}: has the time slot {name!r:.40} twice.")
        slots[name] = None if value is None else seconds(value, f"{path}: time slot {name[:40]}", unit)
    return slots


class _Times:
    """Start and end of annotations in seconds, by their names."""

    def __init__(self, path, slots, raw, associated):
        self.path, self._slots, self._places = path, slots, {name: i for i, name in enumerate(slots)}
        self._raw, self._spans, children = {}, {}, defaultdict(list)
        for tier, annotations in raw.items():
            filled = self._filled([a for a in annotations if a.slots])
            for a in annotations:
                if a.id in self._raw:
                    raise UserError(f"{path}: has the annotation {a.id!r:.40} twice.")
                self._raw[a.id] = a
                if a.slots:
                    self._spans[a.id] = filled[a.slots[0]], filled[a.slots[1]]
                else:
                    children[tier, a.parent].append(a)
        self._shares = {}  # of annotations without slots: (which part of its parent, of how many)
        for (tier, _), inside in children.items():
            ordered = _ordered(inside)
            for i, a in enumerate(ordered):
                self._shares[a.id] = (0, 1) if associated[tier] else (i, len(ordered))

    def of(self, name):
        """(start, end); that of the annotation's parent, or a part of it, where it has no slots."""
        line = []  # from the annotation up to one whose times are known
        while name not in self._spans:
            if name not in self._raw:
                raise UserError(f"{self.path}: the annotation {name!r:.40} is referred to but does not exist.")
            if len(line) > len(self._raw):
                raise UserError(f"{self.path}: the annotation {name!r:.40} is its own parent; correct it in ELAN.")
            line.append(name)
            name = self._raw[name].parent
        for child in reversed(line):
            start, end = self._spans[self._raw[child].parent]
            part, parts = self._shares[child]
            if start is not None and end is not None:
                step = (end - start) / parts
                start, end = start + part * step, end if part + 1 == parts else start + (part + 1) * step
            self._spans[child] = start, end
        return self._spans[name if not line else line[0]]

    def _filled(self, annotations):
        """Times of a tier's slots by name; those without lie evenly between their neighbours in the tier."""
        names = {slot for a in annotations for slot in a.slots}
        if missing := sorted(names - self._slots.keys()):
            raise UserError(f"{self.path}: the time slot {missing[0]!r:.40} is referred to but does not exist.")
        names = sorted(names, key=self._places.get)
        return dict(zip(names, spread([self._slots[name] for name in names]), strict=True))


def _ordered(annotations):
    """Those of one parent in the order in which they say that they follow each other, else in the file's."""
    after = {a.before: a for a in annotations if a.before}
    found, name = [], next((a.id for a in annotations if not a.before), "")
    first = next((a for a in annotations if a.id == name), None)
    while first is not None and len(found) <= len(annotations):
        found.append(first)
        first = after.get(first.id)
    return found if len(found) == len(annotations) else annotations
