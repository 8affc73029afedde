"""Whether what a header says of its sound can be true.

Decoders believe some fields and pass over the others; noise is what they make of a lie.
"""

import struct

from serenanet_modules.data.containers import W64, place
from serenanet_modules.runtime.amounts import counted as several

PLAIN = {1, 3, 6, 7, 0xFFFE}  # codings of wav files whose frames have one size: whole numbers, floats, A-law, µ-law
SLACK = 8  # bytes of padding that AIFF's writers count or not
WAV = {b"RIFF": "<", b"RF64": "<", b"RIFX": ">"}


def contradiction(data):
    """Say what in a header cannot be true together, "" if nothing, or if its format says nothing twice.

    Parameters
    ----------
    data : bytes
        The whole file.
    """
    kind = bytes(data[:4])
    if kind in WAV:
        return _of_wav(WAV[kind], _chunk(data, f"{WAV[kind]}4sI", 12, b"fmt "))
    if data[:16] == W64:
        return _of_wav("<", _chunk(data, "<4s12xQ", 40, b"fmt ", counted=24))
    if kind == b"FORM":
        return _of_aiff(data)
    return _of_caf(_chunk(data, ">4sQ", 8, b"desc")) if kind == b"caff" else ""


def _of_wav(order, head):
    if len(head) < 16:
        return ""
    form, channels, rate, second, frame, bits = struct.unpack_from(f"{order}HHIIHH", head)
    if form not in PLAIN:
        return ""
    size = (bits + 7) // 8
    if frame not in (0, channels * size % 2**16):
        return f"{several(channels, 'channel')} of {bits} bits are not {frame} bytes a frame"
    if second not in (0, rate * frame % 2**32):
        return f"{rate} Hz of {frame} bytes a frame are not {second} bytes a second"
    return ""


def _of_aiff(data):
    head, (at, size) = _chunk(data, ">4sI", 12, b"COMM"), place(data, ">4sI", 12, b"SSND")
    coding = head[18:22] if data[8:12] == b"AIFC" else b"NONE"
    if len(head) < 18 or not at or coding not in (b"NONE", b"sowt", b"twos", b"fl32", b"FL32", b"fl64"):
        return ""
    channels, frames, bits = struct.unpack_from(">HIH", head)
    needed = frames * channels * ((bits + 7) // 8)
    if frames in (0, 2**32 - 1) or abs(needed - (size - 8)) <= SLACK:
        return ""
    return f"{frames} frames of {several(channels, 'channel')} of {bits} bits are not {size - 8} bytes"


def _of_caf(head):
    if len(head) < 32 or head[8:12] != b"lpcm":
        return ""
    packet, frames, channels, bits = struct.unpack_from(">IIII", head, 16)
    if packet == frames * channels * ((bits + 7) // 8):
        return ""
    return f"{several(channels, 'channel')} of {bits} bits are not {packet} bytes a frame"


def _chunk(data, layout, at, wanted, counted=0):
    """What a chunk holds, b"" where there is none."""
    at, size = place(data, layout, at, wanted, counted)
    return data[at : at + min(size, 64)] if at else b""
