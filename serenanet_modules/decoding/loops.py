"""Loops of decoders that write label after label: the same few labels again and again, which nobody said."""

import zlib

LONGEST = 16  # labels of a phrase that is looked for
TIMES = 4  # that it must have been said in a row
LEAST = 16  # labels that this must take
DENSE = 2.4  # times that zlib never makes ordinary text smaller (Radford et al. 2022), each character being one byte


def loop(labels):
    """The length of the phrase that the end of a sequence repeats, 0 where it repeats none.

    A phrase of at most `LONGEST` labels counts when it stands there `TIMES` times in a row and takes `LEAST` labels.

    Parameters
    ----------
    labels : sequence of int

    Examples
    --------
    >>> loop([7, *[1, 2, 3, 4] * 4]), loop([5] * 16), loop([1, 2] * 4)
    (4, 1, 0)
    """
    for size in range(1, LONGEST + 1):
        taken = max(LEAST, size * TIMES)
        tail = labels[-taken:]
        if len(tail) == taken and tail[size:] == tail[:-size]:
            return size
    return 0


def dense(text):
    """Whether a text says so much again that it can be packed far smaller.

    A character is a byte here whatever its script: in UTF-8 those of Tamil or Georgian are three alike bytes in part,
    which pack well in any text.

    Examples
    --------
    >>> dense("na kwa hiyo " * 10), dense("kisu hiki alikitengeneza mwaka jana")
    (True, False)
    """
    numbers = {}
    plain = bytes(numbers.setdefault(character, len(numbers)) % 256 for character in text)
    return len(plain) > DENSE * len(zlib.compress(plain))


def without_loop(labels):
    """A sequence whose end repeats a phrase, with that phrase once.

    Examples
    --------
    >>> without_loop([7, *[1, 2, 3, 4] * 4]), without_loop([1, 1])
    ([7, 1, 2, 3, 4], [1, 1])
    """
    size = loop(labels)
    end = len(labels)
    while size and end > size and labels[end - size - 1] == labels[end - 1]:
        end -= 1
    return labels[:end]
