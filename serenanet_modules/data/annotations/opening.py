"""Strangers' files, opened within bounds: text of any Unicode encoding, and XML that can do no harm."""

import codecs
import io
import json
import math
from xml.etree.ElementTree import ParseError
from xml.parsers.expat import errors

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse

from serenanet_modules.errors import UserError

MOST_BYTES = 64 * 2**20
MOST_ITEMS = 500_000  # elements of XML, lines of text: hours of speech with every sound marked have fewer
MOST_DEPTH = 100  # of elements inside elements
LONGEST = 10**7  # seconds, four months
ANEW = "save it again in the program that made it (ELAN, Praat, …), or fetch it anew"
CUT_OFF = {  # what is wrong with XML that ends too early
    errors.codes[what]
    for what in (
        errors.XML_ERROR_NO_ELEMENTS,
        errors.XML_ERROR_PARTIAL_CHAR,
        errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
        errors.XML_ERROR_UNCLOSED_TOKEN,
    )
}
POINTER = b"version https://git-lfs"  # of what Git LFS has in the place of files


def data_of(path):
    """The bytes of a file.

    Raises
    ------
    UserError
        Where it is larger than `MOST_BYTES`, or cannot be read.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}).") from None
    if len(data) > MOST_BYTES:
        raise UserError(f"{path}: is larger than {MOST_BYTES >> 20} MiB; cut it into several files.")
    if data.startswith(POINTER) or not data:
        raise UserError(
            f"{path}: {'is a pointer of Git LFS; `git lfs pull` fetches the file' if data else 'is empty'}."
        )
    return data


def text_of(path):
    """A file as text, its line ends as ``\\n``: UTF-8, or UTF-16.

    Raises
    ------
    UserError
        For another encoding, and as of `data_of`.
    """
    data = data_of(path)
    try:
        text = data.decode(_encoding(data[:4]))
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UserError(f"{path}: line {line} is neither UTF-8 nor UTF-16; save the file as UTF-8.") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _encoding(beginning):
    if beginning.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    zeros = [byte == 0 for byte in beginning]  # of every other byte, where text without a byte order mark begins
    return {(False, True): "utf-16-le", (True, False): "utf-16-be"}.get(tuple(zeros[:2]), "utf-8-sig")


def lines_of(path):
    """Yield (number, line) of a text file, as of `text_of`; errors also for more than `MOST_ITEMS` lines."""
    lines = text_of(path).split("\n")
    if len(lines) > MOST_ITEMS:
        raise UserError(f"{path}: has {len(lines)} lines; {MOST_ITEMS} are the most that one file may have.")
    yield from enumerate(lines, start=1)


def xml_of(path, name):
    """The root element of an XML file.

    Entities of its own, which bombs and the theft of files are made of, are refused, and so are more than `MOST_ITEMS`
    elements and more than `MOST_DEPTH` inside each other.

    Parameters
    ----------
    path : Path
    name : str
        What the root element must be called.

    Returns
    -------
    xml.etree.ElementTree.Element

    Raises
    ------
    UserError
    """
    events = iterparse(io.BytesIO(data_of(path)), events=("start", "end"))
    count = depth = 0
    root = None
    try:
        for event, element in events:
            if root is None:
                root = element
                if element.tag != name:
                    raise UserError(f"{path}: its outermost element is {element.tag!r:.60}, not {name!r}.")
            depth += 1 if event == "start" else -1
            count += event == "start"
            if count > MOST_ITEMS or depth > MOST_DEPTH:
                most = f"{MOST_ITEMS} elements" if count > MOST_ITEMS else f"{MOST_DEPTH} elements inside each other"
                raise UserError(f"{path}: has more than {most}, which no annotated recording needs.")
    except DefusedXmlException:
        raise UserError(f"{path}: defines entities of its own, which are not read; save it without them.") from None
    except (ParseError, ValueError, LookupError) as error:
        cut = "it seems cut off; " if getattr(error, "code", None) in CUT_OFF else ""
        raise UserError(f"{path}: is not valid XML ({error}); {cut}{ANEW}.") from None
    return root


def seconds(text, where, unit=1.0):
    """A time as it stands in a file, in seconds; ``unit`` is how many of them its 1 has.

    Raises
    ------
    UserError
        Naming ``where``, for what is no time from 0 to `LONGEST`.
    """
    try:
        value = round(float(text) * unit, 9)  # so that 700 ms are 0.7 s
    except (TypeError, ValueError):
        value = math.nan
    if not -1.0 <= value <= LONGEST:  # rounding puts a beginning a little before 0
        raise UserError(f"{where}: {str(text)[:40]!r} is no time.")
    return max(0.0, value)


def json_mapping(text, where):
    """A mapping of names to values that a text, or its UTF-8, says in JSON.

    Parameters
    ----------
    text : str or bytes
    where : str
        For errors: the file, and the place in it.

    Raises
    ------
    UserError
        For anything else.
    """
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: cannot be read as JSON ({error}).") from None
    if not isinstance(said, dict):
        raise UserError(f'{where}: is no JSON object, {{"name": value, …}}.')
    return said
