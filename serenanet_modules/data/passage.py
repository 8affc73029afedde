"""Whether the bytes of a file are those that were sent: not those of a text, and in Ogg those of the pages' sums."""

import re
import struct
import zlib

from serenanet_modules.data.joined import TAGS

CRLF, BARE, HIGH = re.compile(rb"\r\n"), re.compile(rb"(?<!\r)\n"), re.compile(rb"[\x80-\xff]")
LINES = 4  # ends of lines that would all be \r\n by chance in one file of 2^32
LONG = 2**13  # bytes, among which a value that is not there was taken out, if all others are
LOOK = 2**16  # bytes in which all values are sought
MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def changes(data):
    """Say what was done to a file on its way, "" if nothing that shows.

    Programs that take it for a text put a byte 13 before each 10, take it out, or replace what is no letter. What was
    samples of several bytes then becomes noise, and what was compressed is heard in parts.

    Parameters
    ----------
    data : bytes
        The whole file.
    """
    if BARE.search(data) is None and sum(1 for _ in zip(range(LINES), CRLF.finditer(data), strict=False)) == LINES:
        return "every line feed has a carriage return before it, as in a text file"
    there = set(data[:LOOK]) if len(data) >= LONG else ()
    if len(there) == 255:
        (missing,) = {*range(256)} - {*there}
        if missing in b"\0\n\r" and data.find(bytes([missing])) < 0:
            return f"byte {missing} never occurs, all others do"
    if len(there) == 128 and HIGH.search(data) is None:
        return "all bytes are below 128"
    return _pages(data) if data[:4] == b"OggS" else ""


def _pages(data):
    """What is no page of an Ogg file, or not what its sum says; decoders pass over it."""
    at, number = 0, 1
    while data[at : at + 4] == b"OggS" and len(data) >= at + 27:
        end = at + 27 + data[at + 26]
        end += sum(data[at + 27 : end])
        (said,) = struct.unpack_from("<I", data, at + 22)
        if end > len(data) or _sum(data[at : at + 22] + bytes(4) + data[at + 26 : end]) != said:
            return f"the checksum of Ogg page {number} is wrong"
        at, number = end, number + 1
    rest = data[at : at + LOOK]
    return f"what follows Ogg page {number - 1} is no page" if any(rest) and not rest.startswith(TAGS) else ""


def _sum(page):
    """Ogg's sum: that of zlib with all bits mirrored, and no inversion."""
    mirrored = zlib.crc32(page.translate(MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
