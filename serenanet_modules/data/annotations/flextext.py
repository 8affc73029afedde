"""FieldWorks' interlinear texts, ``.flextext`` (SIL), with the times that SayMore and ELAN put into them."""

from unicodedata import category

from serenanet_modules.data.annotations.model import Annotation, Document, Tier
from serenanet_modules.data.annotations.opening import seconds, xml_of

PHRASES = "txt"
OPENING = ("Ps", "Pi")  # Unicode's categories of brackets and quotation marks that open
START, END = "begin-time-offset", "end-time-offset"  # milliseconds


def read(path):
    """A document a text: phrases, and what else is said of phrases, such as ``gls-en``.

    The text of a phrase without one of its own is that of its words and punctuation. What lies in a phrase has its
    time.

    Returns
    -------
    list of Document

    Raises
    ------
    UserError
    """
    texts = xml_of(path, "document").findall("interlinear-text")
    return [
        _document(path, text, f"{path.stem}-{i}" if len(texts) > 1 else "") for i, text in enumerate(texts, start=1)
    ]


def _document(path, text, name):
    places = {media.get("guid"): media.get("location") or "" for media in text.iter("media")}
    tiers = {PHRASES: []}
    for phrase in text.iterfind("paragraphs/paragraph/phrases/*"):
        about = _about(phrase, path)
        words = phrase.findall("words/*")
        own = [item for item in phrase.findall("item") if item.get("type") == "txt"]
        said = _text(own[0]) if own else _joined(words)
        tiers[PHRASES].append(Annotation(said, *about, phrase.get("guid") or ""))
        for item in phrase.findall("item"):
            if item.get("type") not in ("txt", "segnum"):
                kind = f"{item.get('type')}-{item.get('lang') or ''}"
                tiers.setdefault(kind, []).append(Annotation(_text(item), *about))
    parents = {kind: "" if kind == PHRASES else PHRASES for kind in tiers}
    found = tuple(Tier(kind, tuple(inside), type=kind, parent=parents[kind]) for kind, inside in tiers.items())
    return Document(path, found, tuple(filter(None, places.values())), name)


def _about(phrase, path):
    """Start, end and speaker."""
    times = (phrase.get(START), phrase.get(END))
    known = None not in times
    return (*(seconds(t, f"{path}: a phrase", 1e-3) if known else None for t in times), phrase.get("speaker") or "")


def _joined(words):
    """Words with spaces before them; punctuation follows at once, but that which opens goes before the next word."""
    text, opened = "", True
    for word in words:
        for item in word.findall("item"):
            if item.get("type") in ("txt", "punct") and (said := _text(item)):
                opens = item.get("type") == "punct" and all(category(c) in OPENING or c in "¿¡" for c in said)
                text += (" " if (opens or item.get("type") == "txt") and not opened else "") + said
                opened = opens
    return text


def _text(item):
    return "".join(item.itertext()).strip()
