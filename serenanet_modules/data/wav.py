"""Whether a wav file is whole."""

import struct

SLACK = 0.1  # seconds that a file may lack of what its header says


def missing_part(data):
    """Say what a file lacks of the length that its header gives, "" if nothing.

    Writers to a pipe announce 0 or 2^32 - 1 bytes, which promises nothing, and some recorders a few milliseconds more
    than they write.
    """
    position, byte_rate = 12, 0
    while position + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, position)
        there = len(data) - position - 8
        if name == b"fmt " and there >= 12:
            byte_rate = struct.unpack_from("<I", data, position + 16)[0]
        if name == b"data":
            missing = size - there if 0 < size < 0xFFFFFFFF else 0
            return f"{there} of {size} bytes are there" if missing > SLACK * byte_rate else ""
        position += 8 + size + size % 2
    return ""
