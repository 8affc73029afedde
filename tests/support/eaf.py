"""ELAN files of the tests' own, written down in few words."""

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
