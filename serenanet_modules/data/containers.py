"""Whether files are whole whose headers say how long they are: Ogg, AIFF, AU, CAF, Wave64, Matroska and WebM.

Decoders take what there is of them for all.
"""

import struct

W64 = bytes.fromhex("726966662e91cf11a5d628db04c10000")
EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
UNKNOWN = 0xFFFFFFFF  # a length that a writer to a pipe promises


def missing_part(data):
    """Say what a file lacks at its end, "" if nothing, or if its format is another one or cannot tell.

    An Ogg stream may end on any page, so of a file cut between two of them nothing shows.

    Parameters
    ----------
    data : bytes
        The whole file.
    """
    if data[:4] == b"OggS":
        return "" if _last_page_ends(data) else "the last page is cut"
    promised = _promised(data)
    return f"{len(data)} of {promised} bytes are there" if promised > len(data) else ""


def _promised(data):
    """Bytes that the header says the file has, 0 where it says nothing."""
    if data[:4] == b"FORM" and len(data) >= 8:
        return 8 + struct.unpack_from(">I", data, 4)[0]
    if data[8:12] == b"AVI ":
        size = struct.unpack_from("<I", data, 4)[0]
        return 0 if size == UNKNOWN else 8 + size
    if data[:4] == b".snd" and len(data) >= 12:
        start, size = struct.unpack_from(">II", data, 4)
        return 0 if size == UNKNOWN else start + size
    if data[:16] == W64 and len(data) >= 24:
        return struct.unpack_from("<Q", data, 16)[0]
    if data[:4] == b"caff":
        at, size = place(data, ">4sQ", 8, b"data")
        return 0 if size == 2**64 - 1 else at + size
    return _segment_end(data) if data[:4] == EBML else 0


def place(data, layout, at, wanted, counted=0):
    """Where the content of a chunk begins, and how long it is; 0, 0 where there is none.

    Parameters
    ----------
    data : bytes
    layout : str
        Of the head of a chunk, as of `struct`: its name and size.
    at : int
        Where chunks begin.
    wanted : bytes
        The chunk's name.
    counted : int
        Bytes of the head that the size counts.
    """
    head = struct.calcsize(layout)
    while at + head <= len(data):
        name, size = struct.unpack_from(layout, data, at)
        size = max(0, size - counted)
        if name == wanted:
            return at + head, size
        at += head + size + (size % 2 if head == 8 else -size % 8 if counted else 0)
    return 0, 0


def _last_page_ends(data):
    """Whether the last page of an Ogg file has the lengths of its segments, and these bytes."""
    at = data.rfind(b"OggS")
    if len(data) < at + 27 or len(data) < at + 27 + data[at + 26]:
        return False
    lengths = data[at + 27 : at + 27 + data[at + 26]]
    return len(data) >= at + 27 + len(lengths) + sum(lengths)


def _segment_end(data):
    """Where Matroska's one segment ends; 0 where it does not say, as in recordings of browsers."""
    size, at = _number(data, 4)
    at += size or 0
    if data[at : at + 4] != SEGMENT:
        return 0
    size, at = _number(data, at + 4)
    return 0 if size is None else at + size


def _number(data, at):
    """A number of Matroska's variable length, None where it is unknown, and the position behind it."""
    first = data[at] if at < len(data) else 0
    length = 9 - first.bit_length()
    number = int.from_bytes(data[at : at + length]) & (1 << 7 * length) - 1
    return (None if number == (1 << 7 * length) - 1 else number), at + length
