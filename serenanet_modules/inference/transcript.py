"""What a recogniser heard, with times and confidences."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Alternative:
    """What may have been said, and its probability among those of the n-best list."""

    text: str
    confidence: float


@dataclass(frozen=True)
class Listed(Alternative):
    """A text of an n-best list, and the search's score: a sum of logarithms, weights and bonuses, higher is better."""

    score: float


@dataclass(frozen=True)
class Insertion:
    """What may have been said where the text has no word: between two words, before the first or behind the last.

    Attributes
    ----------
    position : int
        How many words of the segment come before it.
    start, end : float
        Seconds: where the word before it ends and the next one begins; at its ends, where the segment does.
    alternatives : tuple of Alternative
        One or several words each, and "" for none, the likeliest first.
    """

    position: int
    start: float
    end: float
    alternatives: tuple[Alternative, ...]


@dataclass(frozen=True)
class Token:
    """A unit of the model as text, such as a character or a word piece.

    Attributes
    ----------
    text : str
        Begins with a space where a word begins; the boundary between words may be a token of its own.
    start, end : float
        Seconds from the beginning of the audio.
    confidence : float
        Between 0 and 1, as `inference.timestamps` defines it.
    """

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True)
class Word:
    """A word; attributes as those of `Token`, but that the confidence is calibrated where the transcript says so.

    ``alternatives`` are what may stand in its place, itself among them, the likeliest first; none where nobody asked.
    """

    text: str
    start: float
    end: float
    confidence: float
    alternatives: tuple[Alternative, ...] = ()


@dataclass(frozen=True)
class Segment:
    """What was heard in a piece of the audio that was decoded at once.

    Attributes
    ----------
    text : str
    start, end : float
        Of its first and last word, in seconds from the beginning of the audio, or as somebody has ``cut`` it.
    confidence : float
        Between 0 and 1.
    words : tuple of Word
    tokens : tuple of Token
    speaker : str
        Who says it, "" where nobody asked.
    looped : bool
        As of `Hypothesis`.
    alternatives : tuple of Listed
        The n-best list, this text first; none where nobody asked.
    insertions : tuple of Insertion
        Where texts of that list have words and this one has none, in order.
    cut : bool
        Whether somebody has said where it begins and ends.
    """

    text: str
    start: float
    end: float
    confidence: float
    words: tuple[Word, ...]
    tokens: tuple[Token, ...]
    speaker: str = ""
    looped: bool = False
    alternatives: tuple[Listed, ...] = ()
    insertions: tuple[Insertion, ...] = ()
    cut: bool = False


@dataclass(frozen=True)
class Heard:
    """A piece of a source that was read at once, in seconds, and its `Segment`, or None where nothing is said."""

    start: float
    end: float
    segment: Segment | None

    @classmethod
    def of(cls, piece, segment=None):
        """Of a `Piece`."""
        return cls(piece.start, piece.start + piece.seconds, segment)


@dataclass(frozen=True)
class Unplaced:
    """A word of a given text that has no place in the audio, and how many words of the text come before it."""

    text: str
    position: int


@dataclass(frozen=True)
class Transcript:
    """All that was heard in one source.

    Attributes
    ----------
    text : str
        "" where nothing was heard.
    duration : float
        Of the audio, in seconds.
    segments : tuple of Segment
        In order; none for silence.
    calibrated : bool
        Whether the words' confidences are probabilities that they are right, by a map that dev gave; else they are the
        network's raw ones, mostly too high.
    unplaced : tuple of Unplaced
        Words of a given text that have no place in the audio, in order.
    language : str
        What a model of several heard, or was told that it hears; "" of any other.
    """

    text: str
    duration: float
    segments: tuple[Segment, ...]
    calibrated: bool = False
    unplaced: tuple[Unplaced, ...] = ()
    language: str = ""

    @property
    def speakers(self):
        """All who speak, by their names; one without a name where nobody asked."""
        return tuple(sorted({segment.speaker for segment in self.segments})) or ("",)

    def of(self, speaker):
        """What one of them says."""
        return replace(self, segments=tuple(segment for segment in self.segments if segment.speaker == speaker))

    @property
    def words(self):
        """Words of all segments."""
        return tuple(word for segment in self.segments for word in segment.words)

    @property
    def tokens(self):
        """Tokens of all segments."""
        return tuple(token for segment in self.segments for token in segment.tokens)
