"""CHAT's ``.cha`` (MacWhinney 2000, "The CHILDES project")."""

import re

from serenanet_modules.data.annotations.model import Annotation, Document, Tier
from serenanet_modules.data.annotations.opening import lines_of, seconds
from serenanet_modules.errors import UserError

BULLET = re.compile(r"\x15(?:%snd:\"[^\"]*\"_)?(\d+)_(\d+)\x15")  # milliseconds
UNSAID = re.compile(  # of main lines, what belongs to a word and is not said
    r"""
      (?<=\w)@[a-z$][\w:$+]*     # kitabu@s:eng: a form of its own
    | \([^\W\d_]+\)             # ma(ziwa): what is left out of a word
    | (?<!\S)0[^\W\d_]*(?!\S)   # 0, 0na: an action without speech, a word that is left out
    """,
    re.VERBOSE,
)
MAIN = "utterances"


def read(path):
    """A tier a speaker, with what depends on it (``%mor`` and others) as tiers of their own, ``mor@CHI``.

    Utterances have the times of their bullets; one without a bullet has no time. What its words have in them that is
    not said is left out.

    Returns
    -------
    list of Document
        One.

    Raises
    ------
    UserError
        For a file without an utterance.
    """
    tiers, media, speaker, time = {}, (), "", (None, None)
    for where, line in _whole(path):
        head, _, text = line.partition(":")
        text = text.strip()
        if head == "@Media":
            media = (text.partition(",")[0].strip(),)
        elif head.startswith("*"):
            speaker, time = head[1:].strip(), _time(text, where)
            tiers.setdefault((speaker, ""), []).append(Annotation(_plain(UNSAID.sub("", text)), *time))
        elif head.startswith("%") and speaker:
            tiers.setdefault((f"{head[1:].strip()}@{speaker}", speaker), []).append(Annotation(_plain(text), *time))
    if not tiers:
        raise UserError(f"{path}: has no utterance, a line such as *CHI: …")
    found = tuple(
        Tier(name, tuple(inside), parent or name, name.partition("@")[0] if parent else MAIN, parent)
        for (name, parent), inside in tiers.items()
    )
    return [Document(path, found, media)]


def _whole(path):
    """Yield (where, line), where lines that begin with white space go on with the one before."""
    where, whole = "", ""
    for number, line in lines_of(path):
        if line[:1] in ("\t", " "):
            whole += " " + line.strip()
            continue
        if whole:
            yield where, whole
        where, whole = f"{path}: line {number}", line
    if whole:
        yield where, whole


def _time(text, where):
    bullets = BULLET.findall(text)
    return tuple(seconds(t, where, 1e-3) for t in (bullets[0][0], bullets[-1][1])) if bullets else (None, None)


def _plain(text):
    return " ".join(BULLET.sub(" ", text).split())
