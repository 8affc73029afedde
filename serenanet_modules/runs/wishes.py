"""What the user of a finished recogniser asks of its texts, beyond what its training chose."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Wishes:
    """What is wanted; equal wishes are served by one decoder.

    Attributes
    ----------
    hotwords : tuple of (str, float)
        Words that are expected, as the recogniser writes them, and what each scores more, in nats.
    nbest : int
        How many texts are wanted of a piece of audio.
    lm_weight, word_score : float, optional
        Of a language model; by default those that are best on dev.
    digits : bool
        Whether numbers are written as digits.
    jobs : int
        Threads of a CTC beam search, whose texts are the same with any number.
    """

    hotwords: tuple[tuple[str, float], ...] = ()
    nbest: int = 1
    lm_weight: float | None = None
    word_score: float | None = None
    digits: bool = False
    jobs: int = field(default=1, compare=False, repr=False)
