"""ELAN files written, and tiers added to one that is there without a change to what others wrote in it."""

import itertools
import math
import mimetypes
import os
import re
from bisect import bisect_right
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple
from xml.parsers.expat import ParserCreate
from xml.sax.saxutils import escape, quoteattr

from serenanet_modules.data.annotations import elan
from serenanet_modules.data.annotations.media import origin
from serenanet_modules.data.annotations.model import apart
from serenanet_modules.data.annotations.opening import data_of
from serenanet_modules.errors import UserError

INCLUDED = "Included_In"  # the kind of tiers whose annotations lie within others' time, with gaps
MEANING = "Time alignable annotations within the parent annotation's time interval, gaps are allowed"  # in ELAN's words
CONSTRAINT = f'    <CONSTRAINT DESCRIPTION="{MEANING}" STEREOTYPE="{INCLUDED}"/>\n'
BEHIND_TYPES = ("CONSTRAINT", "CONTROLLED_VOCABULARY", "LEXICON_REF", "REF_LINK_SET", "EXTERNAL_REF")
LAST_USED = "lastUsedAnnotationId"
UNNAMED = "tier"
HEAD = """\
<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="{date}" FORMAT="3.0" VERSION="3.0" \
xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" \
xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">
    <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">
{media}        <PROPERTY NAME="lastUsedAnnotationId">{last}</PROPERTY>
    </HEADER>
    <TIME_ORDER>
"""


class _Parts(NamedTuple):
    """The elements of new tiers as text."""

    slots: str
    tiers: str
    types: str
    constraint: str  # "" where none of them lies in another
    last: int  # the number of the last annotation


def write(document):
    """An ELAN file, format 3.0, of the tiers of a `Document`.

    Annotations of a tier in another lie within those of that, with gaps. Times are rounded to milliseconds; what would
    take none, or overlaps the annotation before it, is cut or left out. Tiers that have a name of another, or none, get
    a number.

    Returns
    -------
    str
    """
    parts = _parts(_renamed(document.tiers, set()))
    media = "".join(f"        {_descriptor(name, document.path)}\n" for name in document.media)
    head = HEAD.format(date=datetime.now(UTC).isoformat(timespec="seconds"), media=media, last=parts.last)
    end = "</ANNOTATION_DOCUMENT>\n"
    return f"{head}{parts.slots}    </TIME_ORDER>\n{parts.tiers}{parts.types}{parts.constraint}{end}"


def add(path, tiers, recording=None):
    """The bytes of an ELAN file with more tiers in it.

    Their names get a number where the file has them already. All other bytes stay as they are but the number of the
    last annotation in the header, from which ELAN goes on.

    Parameters
    ----------
    path : Path
        In UTF-8.
    tiers : sequence of Tier
    recording : Path, optional
        Whose times these have, if not the file's own.

    Returns
    -------
    bytes

    Raises
    ------
    UserError
        For what is no ELAN file, and another encoding.
    """
    (document,) = elan.read(path)
    data = data_of(path)
    places = None if b"\0" in data else _Places(data)
    if places is None or places.encoding not in (None, "utf-8", "us-ascii"):
        raise UserError(f"{path}: is not in UTF-8; save it in ELAN, which writes that, to add tiers to it.")
    if places.unit not in (None, "", "milliseconds"):
        raise UserError(f"{path}: its times are {places.unit!r:.40}; save it in ELAN, which writes milliseconds.")
    if recording is not None:
        tiers = [tier.later(-origin(document, recording)) for tier in tiers]
    named = _renamed(tiers, {tier.name for tier in document.tiers})
    parts = _parts(named, _highest(data, "a"), _highest(data, "ts"), places.types)
    before, behind = places.around_slots
    inserted = [  # of two in one place, the first comes last
        (*places.slots, f"{before}{parts.slots}{behind}"),
        (places.behind_types, places.behind_types, "" if INCLUDED in places.kinds else parts.constraint),
        (places.first_type, places.first_type, parts.tiers + parts.types),
        (*places.last_used, str(parts.last) if places.last_used[1] else ""),
    ]
    for start, end, text in sorted(inserted, key=itemgetter(0), reverse=True):
        data = data[:start] + text.encode() + data[end:]
    return data


def _renamed(tiers, taken):
    """The same tiers under names that are not taken, their parents' too, which is the first of a name."""
    found, names = [], {}
    for tier in tiers:
        plain = tier.name or UNNAMED
        numbered = (f"{plain} {number}" if number > 1 else plain for number in itertools.count(1))
        name = next(name for name in numbered if name not in taken and name not in found)
        names.setdefault(tier.name, name)
        found.append(name)
    renamed = zip(tiers, found, strict=True)
    return [tier.called(name, tier.parent and names.get(tier.parent, tier.parent)) for tier, name in renamed]


def _highest(data, letters):
    """The highest number of a name such as ``a12`` in a file."""
    return max((int(n) for n in re.findall(rb"[\"']%s(\d{1,9})[\"']" % letters.encode(), data)), default=0)


def _parts(tiers, annotation=0, slot=0, known_types=None):
    """The elements of tiers, whose names of annotations and time slots go on from these numbers."""
    slots, written, types, places = [], [], dict(known_types or {}), {}
    for tier in _parents_first(tiers):
        places[tier.name] = _placed(tier, places.get(tier.parent))
        lines = []
        for (start, end), text in places[tier.name]:
            annotation, slot = annotation + 1, slot + 2
            slots += [(f"ts{slot - 1}", start), (f"ts{slot}", end)]
            lines.append(_annotation(annotation, slot, text))
        written.append(_tier(tier, _type(tier, types), lines))
    order = "".join(
        f'        <TIME_SLOT TIME_SLOT_ID="{name}" TIME_VALUE="{at}"/>\n'
        for name, at in sorted(slots, key=itemgetter(1))
    )
    new = {name: kind for name, kind in types.items() if name not in (known_types or {})}
    elements = "".join(_linguistic_type(name, kind) for name, kind in new.items())
    constraint = CONSTRAINT if any(tier.parent for tier in tiers) else ""
    return _Parts(order, "".join(written), elements, constraint, annotation)


def _parents_first(tiers):
    """Tiers in their order, but none before the one that it lies in."""
    found, waiting = [], list(tiers)
    while waiting:
        names = {tier.name for tier in waiting}
        ready = [tier for tier in waiting if tier.parent not in names] or waiting
        found += ready
        waiting = [tier for tier in waiting if tier not in ready]
    return found


def _placed(tier, inside):
    """((start, end) in milliseconds, text) of a tier's annotations, which overlap nothing and lie inside ``inside``."""
    found, parents = [], None if inside is None else [span for span, _ in inside]
    for a in apart(tier.annotations):
        start, end = round(1000 * a.start), round(1000 * a.end)
        if parents is not None:  # rounding may put an edge outside of the parent's
            middle = (start + end) // 2
            before = bisect_right(parents, (middle, math.inf)) - 1
            if before < 0 or parents[before][1] <= middle:
                continue
            start, end = max(start, parents[before][0]), min(end, parents[before][1])
        start = max(start, found[-1][0][1]) if found else start
        if start < end:
            found.append(((start, end), a.text))
    return found


def _type(tier, types):
    """A linguistic type for a tier, noted among ``types``, which say by name if their annotations lie in others."""
    kind, name = INCLUDED if tier.parent else "", tier.type or "default-lt"
    while types.setdefault(name, kind) != kind:
        name += " in others" if kind else " of time"
    return name


def _descriptor(name, annotations):
    """Where a recording is, and where from the file that annotates it: beside it, if its name is no whole path."""
    path = Path(name)
    kind = mimetypes.guess_type(path.name)[0] or "unknown"
    url = path.absolute().as_uri()
    beside = os.path.relpath(path, annotations.absolute().parent) if path.is_absolute() else path.name
    relative = quoteattr(_plain(beside if beside.startswith("..") else f"./{beside}"))
    return f'<MEDIA_DESCRIPTOR MEDIA_URL={quoteattr(url)} MIME_TYPE="{kind}" RELATIVE_MEDIA_URL={relative}/>'


def _tier(tier, kind, lines):
    about = {"LINGUISTIC_TYPE_REF": kind, "PARENT_REF": tier.parent, "PARTICIPANT": tier.participant}
    said = "".join(f" {name}={quoteattr(_plain(value))}" for name, value in about.items() if value)
    return f"    <TIER{said} TIER_ID={quoteattr(_plain(tier.name))}>\n{''.join(lines)}    </TIER>\n"


def _annotation(number, slot, text):
    slots = f'TIME_SLOT_REF1="ts{slot - 1}" TIME_SLOT_REF2="ts{slot}"'
    return (
        f'        <ANNOTATION>\n            <ALIGNABLE_ANNOTATION ANNOTATION_ID="a{number}" {slots}>\n'
        f"                <ANNOTATION_VALUE>{escape(_plain(text))}</ANNOTATION_VALUE>\n"
        "            </ALIGNABLE_ANNOTATION>\n        </ANNOTATION>\n"
    )


def _plain(text):
    """A text without what XML cannot hold."""
    return re.sub("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)


def _linguistic_type(name, kind):
    constraint = f'CONSTRAINTS="{kind}" ' if kind else ""
    about = f'{constraint}GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID={quoteattr(_plain(name))}'
    return f'    <LINGUISTIC_TYPE {about} TIME_ALIGNABLE="true"/>\n'


class _Places:
    """Where in the bytes of an ELAN file new elements belong; ``elan.read`` has found it sound before."""

    def __init__(self, data):
        self.encoding = self.unit = self.slots = self.first_type = self.behind_types = None
        self.types, self.kinds, self.last_used, self.around_slots = {}, set(), (0, 0), ("", "")
        self._data, self._property, self._parser = data, False, ParserCreate()
        self._parser.XmlDeclHandler = self._declaration
        self._parser.StartElementHandler, self._parser.EndElementHandler = self._start, self._end
        self._parser.CharacterDataHandler = self._text
        self._parser.Parse(data, True)

    def _declaration(self, version, encoding, standalone):
        self.encoding = encoding and encoding.lower()

    def _line(self):
        """Where the line begins that the parser is in, if nothing but white space stands before it."""
        at = self._parser.CurrentByteIndex
        start = self._data.rfind(b"\n", 0, at) + 1
        return start if not self._data[start:at].strip() else at

    def _start(self, name, about):
        if name == "HEADER":
            self.unit = about.get("TIME_UNITS")
        self._property = name == "PROPERTY" and about.get("NAME") == LAST_USED
        if name == "LINGUISTIC_TYPE":
            self.types[about.get("LINGUISTIC_TYPE_ID")] = about.get("CONSTRAINTS") or ""
            self.first_type = self._line() if self.first_type is None else self.first_type
        if name == "CONSTRAINT":
            self.kinds.add(about.get("STEREOTYPE"))
        if name in BEHIND_TYPES and self.behind_types is None:
            self.behind_types = self._line()

    def _text(self, text):
        if self._property and text.strip().isdigit() and not self.last_used[1]:
            at = self._parser.CurrentByteIndex
            self.last_used = at, at + len(text.encode())

    def _end(self, name):
        self._property = False
        if name == "TIME_ORDER":
            at = self._parser.CurrentByteIndex
            self.slots = (self._line(),) * 2
            if self._data[at : at + 2] != b"</":  # it is empty, and is opened
                end = self._data.rindex(b"/>", 0, at + 2)
                self.slots, self.around_slots = (end, end + 2), (">\n", "    </TIME_ORDER>")
        if name == elan.ROOT:
            end = self._line()
            self.behind_types = end if self.behind_types is None else self.behind_types
            self.first_type = self.behind_types if self.first_type is None else self.first_type
