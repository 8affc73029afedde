"""Whether a wav file is whole."""

import re
import struct

SLACK = 0.1  # seconds that a file may lack of what its header says


def missing_part(data):
    """Say what a file lacks of the length that its header gives, "" if nothing.

    Writers to a pipe announce 0 or 2^32 - 1 bytes, which promises nothing, and some recorders a few milliseconds more
    than they write: whole frames, and not the bytes 13 before each 10, which a conversion of line ends takes out.
    """
    position, byte_rate, frame = 12, 0, 1
    while position + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, position)
        there = len(data) - position - 8
        if name == b"fmt " and there >= 14:
            byte_rate, frame = struct.unpack_from("<IH", data, position + 16)
        if name == b"data":
            missing = max(0, size - there) if size < 0xFFFFFFFF else 0
            lost = missing > SLACK * byte_rate or missing % max(1, frame) or _is_stripped(data, missing)
            return f"{there} of {size} bytes are there" if missing and lost else ""
        position += 8 + size + size % 2
    return ""


def _is_stripped(data, missing):
    """Whether these may be the bytes 13 before a 10, of which there is one in 2^16 by chance."""
    pairs = sum(1 for _ in re.finditer(rb"\r\n", data))
    return 4 * pairs < missing <= 4 + (len(data) >> 14)
