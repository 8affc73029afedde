"""Whether two recordings are one: by their samples, whatever name, place and lossless format they have."""

import hashlib
from bisect import bisect_left
from functools import cache

from serenanet_modules.data.audio import SAMPLE_RATE, AudioError, blocks, seconds

SLACK = 0.1  # seconds by which a header may misstate how long a recording is


class Copies:
    """Recordings, of which others may be copies.

    Only those of about the same length are compared, so few are decoded.

    Parameters
    ----------
    paths : iterable of Path
    """

    def __init__(self, paths):
        self._by_length = sorted((length_of(path), path) for path in set(paths))

    def has(self, path):
        """Whether a recording has the samples of one of them."""
        length = length_of(path)
        i = bisect_left(self._by_length, length - SLACK, key=lambda found: found[0])
        while i < len(self._by_length) and self._by_length[i][0] <= length + SLACK:
            if sound_of(self._by_length[i][1]) == sound_of(path):
                return True
            i += 1
        return False


@cache
def sound_of(path):
    """A hash of a recording's samples at 16 kHz; of its path where it cannot be read."""
    found = hashlib.sha256()
    try:
        for block in blocks(path):
            found.update((block * 2**15).round().astype("<i4").data)
    except AudioError:
        return hash_of(path)  # preparation says what is wrong with it
    return found.hexdigest()


@cache
def length_of(path):
    """Seconds of a recording, as its header says where it does; 0 where it cannot be read."""
    try:
        return seconds(path) or sum(map(len, blocks(path))) / SAMPLE_RATE
    except AudioError:
        return 0.0


def hash_of(*told):
    """A hash of plain values and paths."""
    return hashlib.sha256(repr(told).encode()).hexdigest()
