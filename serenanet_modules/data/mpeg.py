"""Is an mp3 whole, and one? Walks its frames, because decoders guess the length and hide what is missing.

Layer III header layout: ISO/IEC 11172-3 and 13818-3. The Xing/Info header, which encoders put into
the first frame, holds the number of audio frames that the encoder wrote.
"""

import re
from dataclasses import dataclass

_KBITS = {  # by "is it MPEG-1", bitrate index 1..14
    True: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_SAMPLES = {True: 1152, False: 576}  # of a frame, by "is it MPEG-1"
_LAYER_3 = 1
_LIKELY = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb][\x10-\xef]")  # what can begin a frame of layer III
MOST_FALSE = 20_000  # of those that begin none; whoever sends more of them wants to be searched for long


@dataclass(frozen=True)
class Count:
    """Frames of an mp3, what its Xing/Info header counts (0: it has none), whether the last one is cut; samples."""

    frames: int
    promised: int
    cut: bool = False
    samples: int = 0  # of a channel

    @property
    def missing(self):
        """What the file lacks at its end, "" if nothing, or the kind (free format, layers I and II) cannot tell.

        A file cut exactly between two frames shows only by its Xing/Info header; nearly all have one.
        """
        if self.cut:
            return "the last frame is cut"
        return f"{self.frames} of {self.promised} frames are there" if self.promised > self.frames else ""

    @property
    def extra(self):
        """What the file has behind the end that its header says, where decoders stop, "" if nothing."""
        # The frame that holds the Xing header is counted by some encoders and not by others.
        more = self.promised and self.frames > self.promised + 2
        return f"{self.frames} frames, where the header counts {self.promised}" if more else ""


def count(data):
    """The `Count` of a whole file's bytes."""
    tries = iter(range(MOST_FALSE))
    start = position = _next_frame(data, _skip_id3v2(data), tries)
    frames, cut = 0, False
    while position is not None:
        length = frame_length(data, position)
        if length is None:  # a tag, or damage, after which decoders go on at the next frame
            if _cut_header(data, position):
                cut = True
                break
            position = _next_frame(data, position, tries)
            continue
        if position + length > len(data):
            cut = True
            break
        position += length
        frames += 1
    if start is None:
        return Count(frames, 0, cut)
    return Count(frames, _promised_frames(data, start), cut, frames * _SAMPLES[data[start + 1] >> 3 & 3 == 3])


def frame_length(data, position):
    """Length in bytes of the layer III frame at a position, None if there is none.

    Examples
    --------
    >>> frame_length(bytes([0xFF, 0xFB, 0x90, 0x00]), 0)  # MPEG-1, 128 kbit/s, 44.1 kHz
    417
    """
    header = data[position : position + 4]
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    kbits, rate = header[2] >> 4, header[2] >> 2 & 3
    if version not in _RATES or layer != _LAYER_3 or kbits in (0, 15) or rate == 3:
        return None
    mpeg1 = version == 3
    bits_per_second = 1000 * _KBITS[mpeg1][kbits - 1]
    padding = header[2] >> 1 & 1
    return (144 if mpeg1 else 72) * bits_per_second // _RATES[version][rate] + padding


def _skip_id3v2(data):
    position = 0
    while data[position : position + 3] == b"ID3" and len(data) >= position + 10:
        size = 0
        for byte in data[position + 6 : position + 10]:  # seven bits a byte
            size = size << 7 | byte & 0x7F
        footer = 10 if data[position + 5] & 0x10 else 0
        position += 10 + size + footer
    return position


def _next_frame(data, position, tries):
    """Find the next frame that another frame, or the end of the file, follows, or None."""
    for match in _LIKELY.finditer(data, position):
        length = frame_length(data, match.start())
        after = match.start() + (length or 0)
        if length and (after == len(data) or frame_length(data, after)):
            return match.start()
        if next(tries, None) is None:
            break
    return None


def _cut_header(data, position):
    return 0 < len(data) - position < 4 and data[position] == 0xFF


def _promised_frames(data, start):
    """Read the frame count of the Xing or Info header, 0 if there is none."""
    match = re.compile(rb"(?:Xing|Info)(.{4})(.{4})", re.DOTALL).search(data, start, start + 64)
    if not match or not match[1][3] & 1:
        return 0
    return int.from_bytes(match[2])
