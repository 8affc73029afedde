"""What all decoders share: a network's outputs in, a hypothesis for each utterance out."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from serenanet_modules.data.phonemes import WORD_BOUNDARY
from serenanet_modules.errors import UserError


@dataclass(frozen=True)
class Hypothesis:
    """One decoded utterance.

    Attributes
    ----------
    labels : list of int
        Without blanks and repeats.
    text : str
        The labels decoded; in a lexicon search, the words.
    words : list of str, optional
        Those of a lexicon search, which spells them with the labels.
    score : float
        What a search maximises.
    looped : bool
        Whether it went round (`decoding.loops`); what it repeated stands there once, or it is another decoding.
    spans : list of Span, optional
        Where the labels lie, of a model without CTC; of others they are aligned on that.
    """

    labels: list[int]
    text: str
    words: list[str] | None = None
    score: float = 0.0
    looped: bool = False
    spans: list | None = None


SPARE = 2  # hypotheses that are looked at for each text of a list: several labels may be one text


def different(hypotheses, n):
    """The first ``n`` hypotheses of different texts.

    Examples
    --------
    >>> [h.labels for h in different([Hypothesis([1], "a"), Hypothesis([1, 3], "a"), Hypothesis([2], "b")], 2)]
    [[1], [2]]
    """
    texts = {}
    for hypothesis in hypotheses:
        texts.setdefault(hypothesis.text, hypothesis)
    return list(texts.values())[:n]


class Decoder(ABC):
    """Whatever makes text of a network's outputs; `decoding.decoders` makes them all.

    Attributes
    ----------
    name : str
        By which result.json lists its error rates, such as ``decoder/greedy``.
    units : Units
    """

    @property
    def writes_words(self):
        """Whether texts are of words; else they are phones, with a mark between words."""
        return not self.units.phonemic

    @abstractmethod
    def decode(self, outputs, lengths):
        """The best hypothesis of each utterance of a batch.

        Parameters
        ----------
        outputs : CTCOutput or Outputs
            ``log_probs(scoring)`` (B, T, V) and, for a label decoder, ``hidden`` (B, T, d_model).
        lengths : Tensor
            (B,) int64 frames; what follows is not read.

        Returns
        -------
        list of Hypothesis
        """

    def listed(self, outputs, lengths, n):
        """Up to ``n`` hypotheses of different texts of each utterance of a batch, best first.

        Parameters are those of `decode`.

        Raises
        ------
        UserError
            Of a decoder that finds one alone.
        """
        raise UserError(f"{self.name}: gives one text only; lists need a model with a CTC head; leave --nbest out")

    @abstractmethod
    def decode_rows(self, rows, batch_seconds=120.0, jobs=1, title=None):
        """The best hypothesis of each of many utterances, in order.

        Parameters
        ----------
        rows : list of Row
        batch_seconds : float
            Most seconds of padded audio in a batch, of a decoder that is a network.
        jobs : int
            Threads, of a decoder that is not.
        title : str, optional
            Of a progress bar; without it there is none.
        """

    def join(self, texts):
        """The text of audio from those of its pieces; where it is cut, a word ends."""
        return (" " if self.writes_words else f" {WORD_BOUNDARY} ").join(filter(None, texts))
