"""ELAN files of the tests' own, written down in few words; and what every ELAN file must be."""

import itertools
import os
from pathlib import Path
from xml.etree.ElementTree import fromstring

XSD = "SERENANET_EAF_XSD"  # names ELAN's schema, which nobody may pass on
ORDER = (
    *("LICENSE", "HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE", "LOCALE", "LANGUAGE", "CONSTRAINT"),
    *("CONTROLLED_VOCABULARY", "LEXICON_REF", "REF_LINK_SET", "EXTERNAL_REF"),
)
NAMES = ("ANNOTATION_ID", "TIME_SLOT_ID", "LINGUISTIC_TYPE_ID", "TIER_ID")
REFERENCES = {
    **{"TIME_SLOT_REF1": "TIME_SLOT_ID", "TIME_SLOT_REF2": "TIME_SLOT_ID", "LINGUISTIC_TYPE_REF": "LINGUISTIC_TYPE_ID"},
    **{"PARENT_REF": "TIER_ID", "ANNOTATION_REF": "ANNOTATION_ID", "CONSTRAINTS": "STEREOTYPE"},
}
TYPES = {"free": "", "words": "Symbolic_Subdivision", "glosses": "Symbolic_Association", "parts": "Time_Subdivision"}


def eaf(path, *tiers, slots, media=(), head=""):
    """Write an ELAN file.

    Parameters
    ----------
    path : Path
    tiers : str
        Each the inside of an element ``TIER``, attributes and annotations, as `tier` gives it.
    slots : list of int or None
        Milliseconds of ``ts1``, ``ts2``, …
    media : sequence of (str, str)
        Attributes of media descriptors: URL and relative URL.
    head : str
        What stands before the outermost element.
    """
    order = "".join(
        f'<TIME_SLOT TIME_SLOT_ID="ts{i}"' + ("/>" if at is None else f' TIME_VALUE="{at}"/>')
        for i, at in enumerate(slots, start=1)
    )
    named = "".join(f'<MEDIA_DESCRIPTOR MEDIA_URL="{u}" RELATIVE_MEDIA_URL="{r}" MIME_TYPE=""/>' for u, r in media)
    types = "".join(
        f'<LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="{name}" TIME_ALIGNABLE="true"'
        + (f' CONSTRAINTS="{kind}"/>' if kind else "/>")
        for name, kind in TYPES.items()
    )
    path.write_text(
        f'<?xml version="1.0" encoding="UTF-8"?>\n{head}'
        '<ANNOTATION_DOCUMENT AUTHOR="" DATE="2020-01-01T00:00:00+00:00" FORMAT="3.0" VERSION="3.0">\n'
        f'<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">{named}</HEADER>\n<TIME_ORDER>{order}</TIME_ORDER>\n'
        + "\n".join(tiers)
        + f"\n{types}\n</ANNOTATION_DOCUMENT>\n",
        encoding="utf-8",
    )
    return path


def tier(name, *annotations, type="free", parent="", participant=""):
    """A ``TIER``; annotations are (id, text, slot, slot), (id, text, parent) or (id, text, parent, the one before)."""
    about = "".join(f' {k}="{v}"' for k, v in (("PARENT_REF", parent), ("PARTICIPANT", participant)) if v)
    inside = "".join(f"<ANNOTATION>{_annotation(*a)}</ANNOTATION>" for a in annotations)
    return f'<TIER TIER_ID="{name}" LINGUISTIC_TYPE_REF="{type}"{about}>{inside}</TIER>'


def _annotation(name, text, first, second=None):
    value = f"<ANNOTATION_VALUE>{text}</ANNOTATION_VALUE>"
    if isinstance(first, int):
        slots = f'TIME_SLOT_REF1="ts{first}" TIME_SLOT_REF2="ts{second}"'
        return f'<ALIGNABLE_ANNOTATION ANNOTATION_ID="{name}" {slots}>{value}</ALIGNABLE_ANNOTATION>'
    before = f' PREVIOUS_ANNOTATION="{second}"' if second else ""
    return f'<REF_ANNOTATION ANNOTATION_ID="{name}" ANNOTATION_REF="{first}"{before}>{value}</REF_ANNOTATION>'


def check(data):
    """Assert what ELAN's schema, and ELAN, ask of a file.

    Elements in their order; names unique, and those that are referred to there; annotations of a tier in order, apart,
    and within those of the tier above; the header's last annotation is the last. Where an environment variable names
    the schema, which lxml reads, the schema has the last word.

    Parameters
    ----------
    data : bytes
    """
    root = fromstring(data)
    assert root.tag == "ANNOTATION_DOCUMENT" and {"AUTHOR", "DATE", "FORMAT", "VERSION"} <= set(root.keys())
    places = [ORDER.index(element.tag) for element in root]
    assert places == sorted(places) and {1, 2} <= set(places)
    values = {key: [e.get(key) for e in root.iter() if e.get(key)] for key in (*NAMES, *REFERENCES, "STEREOTYPE")}
    for key in NAMES:
        assert len(values[key]) == len(set(values[key])), key
    for reference, name in REFERENCES.items():
        assert set(values[reference]) <= set(values[name]), reference
    last = [e.text for e in root.iter("PROPERTY") if e.get("NAME") == "lastUsedAnnotationId"]
    assert not last or int(last[0]) >= max((int(name[1:]) for name in values["ANNOTATION_ID"]), default=0)
    times = {e.get("TIME_SLOT_ID"): int(e.get("TIME_VALUE", -1)) for e in root.iter("TIME_SLOT")}
    tiers = {e.get("TIER_ID"): e for e in root.iter("TIER")}
    kinds = {e.get("LINGUISTIC_TYPE_ID"): e for e in root.iter("LINGUISTIC_TYPE")}
    for element in tiers.values():
        kind = kinds[element.get("LINGUISTIC_TYPE_REF")]
        assert bool(kind.get("CONSTRAINTS")) == bool(element.get("PARENT_REF"))
        own, above = (_spans(e, times) for e in (element, tiers.get(element.get("PARENT_REF"))))
        assert all(a < b for a, b in own) and all(b <= c for (_, b), (c, _) in itertools.pairwise(own))
        assert above is None or all(any(c <= a and b <= d for c, d in above) for a, b in own)
    if XSD in os.environ:
        from lxml import etree

        etree.XMLSchema(etree.parse(Path(os.environ[XSD]))).assertValid(etree.fromstring(data))


def _spans(tier, times):
    """Of a tier's annotations with times of their own, in the file's order."""
    if tier is None:
        return None
    slots = [(a.get("TIME_SLOT_REF1"), a.get("TIME_SLOT_REF2")) for a in tier.iter("ALIGNABLE_ANNOTATION")]
    found = [(times[first], times[second]) for first, second in slots]
    return [(a, b) for a, b in found if a >= 0 and b >= 0]
