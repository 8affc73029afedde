"""Whether a file holds more than its header says: recordings that were joined byte by byte, a length that is too short.

Decoders stop where the header tells them to, and say nothing of the rest.
"""

import re
import struct

from serenanet_modules.data.containers import W64

BEGINNINGS = {  # how recordings begin, strongly enough not to be found in the middle of one by chance
    b"RIFF": rb"RIFF.{4}WAVE",
    b"RF64": rb"RF64.{4}WAVE",
    b"FORM": rb"FORM.{4}AIF[FC]",
    b"fLaC": rb"fLaC[\0\x80]\0\0\x22",
    b".snd": rb"\.snd\0\0[\0-\x0f].{5}\0\0\0[\x01-\x1b]",
    b"caff": rb"caff\0\x01\0\0desc",
    W64[:4]: re.escape(W64),
    b"0&\xb2u": rb"0&\xb2u\x8ef\xcf\x11\xa6\xd9\0\xaa\0b\xce\x6c",
    b"#!AM": rb"#!AMR(-WB)?\n",
}
TAGS = (b"TAG", b"ID3", b"APETAGEX")  # what players write behind any file
CHUNKS = {b"RIFF": ("<4sI", 12, b"data"), b"FORM": (">4sI", 12, b"SSND"), b"caff": (">4sQ", 8, b"data")}
FIRST_PAGE = re.compile(rb"OggS\0[\x02\x03\x06\x07]\0{8}")  # of a stream
NAME = re.compile(rb"[ -~]{4}")
SLACK = 800  # bytes behind the sound that are no sound worth a word: a fortieth of a second at 16 kHz and 16 bits
TRIES = 20_000  # bytes 0xff that are looked at for the beginning of FLAC's last frame
UNKNOWN = 0xFFFFFFFF  # a length that a writer to a pipe promises


def extra_part(data):
    """Say what a file holds behind the end that its header gives it, "" if nothing, or if its kind cannot tell.

    Parameters
    ----------
    data : bytes
        The whole file.
    """
    kind = bytes(data[:4])
    if kind == b"OggS":
        return "several streams, one after the other" if _is_chained(data) else ""
    if data[4:8] == b"ftyp":
        return "several recordings, one after the other" if _boxes(data).count(b"ftyp") > 1 else ""
    beginning = BEGINNINGS.get(kind)
    if beginning and re.compile(beginning, re.DOTALL).search(data, 4):
        return "several recordings, one after the other"
    extra = 0
    if kind in CHUNKS:
        extra = _behind_chunks(data, *CHUNKS[kind])
    elif kind == b".snd" and len(data) >= 12:
        start, size = struct.unpack_from(">II", data, 4)
        extra = 0 if size == UNKNOWN else _more(data, start + size)
    elif kind == b"fLaC" and _goes_on(data):
        return "frames behind the last sample that its header counts"
    return f"{extra} bytes behind the end of the sound" if extra else ""


def _behind_chunks(data, layout, at, sound):
    """Bytes behind the chunk of the sound that are no other chunk."""
    head, heard = struct.calcsize(layout), False
    while at + head <= len(data):
        name, size = struct.unpack_from(layout, data, at)
        if heard and (name == sound or not NAME.fullmatch(name) or at + head + size > len(data) + SLACK):
            return _more(data, at)
        if name == sound and size in (0, UNKNOWN, 2**64 - 1):  # to the end of the file
            return 0
        heard = heard or name == sound
        odd = size % 2 if head == 8 else 0
        if odd and NAME.fullmatch(data[at + head + size : at + head + size + 4]):  # some writers leave the padding out
            odd = 0
        at += head + size + odd
    return 0


def _goes_on(data):
    """Whether the last frame of a FLAC file begins behind all samples that its header counts."""
    total = int.from_bytes(data[21:26]) & (1 << 36) - 1
    block, at = int.from_bytes(data[8:10]), len(data)
    for _ in range(TRIES):
        at = data.rfind(b"\xff", 0, at)
        if at < 0 or total == 0:
            return False
        found = _frame_number(data[at : at + 16])
        if found is not None:
            number, counts_samples = found
            return (number if counts_samples else number * block) >= total
    return False


def _frame_number(head):
    """The number in a FLAC frame's header, and whether it counts samples and not blocks; None for what is none."""
    if len(head) < 16 or head[1] not in (0xF8, 0xF9) or head[2] >> 4 == 0 or head[2] & 15 == 15:
        return None
    length = max(1, 8 - (head[4] ^ 0xFF).bit_length())  # of the number, coded as UTF-8 is
    number = head[4] & (0x7F >> length if length > 1 else 0x7F)
    for byte in head[5 : 4 + length]:
        number = number << 6 | byte & 0x3F
    end = 4 + length + {6: 1, 7: 2}.get(head[2] >> 4, 0) + {12: 1, 13: 2, 14: 2}.get(head[2] & 15, 0)
    return (number, head[1] == 0xF9) if end < 16 and _crc8(head[:end]) == head[end] else None


def _crc8(data):
    found = 0
    for byte in data:
        found ^= byte
        for _ in range(8):
            found = (found << 1 ^ (0x07 if found & 0x80 else 0)) & 0xFF
    return found


def _more(data, at):
    """How many bytes stand from here on, where they are more than padding and tags."""
    count = len(data) - at
    if count <= SLACK or data[at : at + 8].startswith(TAGS) or not any(data[at : at + 2**20]):
        return 0
    return count


def _is_chained(data):
    """Whether a stream of an Ogg file begins behind another's pages."""
    at = 0
    while data[at : at + 4] == b"OggS" and len(data) >= at + 27 and data[at + 5] & 2:  # all streams begin together
        segments = data[at + 26]
        at += 27 + segments + sum(data[at + 27 : at + 27 + segments])
    return FIRST_PAGE.search(data, at) is not None


def _boxes(data):
    """The names of an mp4 file's outermost boxes."""
    names, at = [], 0
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        if size == 1 and at + 16 <= len(data):
            size = struct.unpack_from(">Q", data, at + 8)[0]
        names.append(name)
        if size < 8:
            break
        at += size
    return names
