"""The words a lexicon beam search may write, and how each is spelled in units."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from serenanet_modules.errors import UserError


class Lexicon:
    """Words and their spellings.

    Parameters
    ----------
    spellings : mapping of str to sequences of unit ids
        One or more spellings per word, without boundaries; words may share a spelling.

    Raises
    ------
    UserError
        If there is no word, or a word has an empty spelling.

    Examples
    --------
    >>> lexicon = Lexicon({"two": [[3, 4]], "too": [[3, 4]], "to": [[3, 4], [3, 5]]})
    >>> lexicon.words
    ['to', 'too', 'two']
    """

    def __init__(self, spellings: Mapping[str, Iterable[Sequence[int]]]):
        self.spellings = {word: sorted({tuple(spelling) for spelling in spellings[word]}) for word in sorted(spellings)}
        self.words = list(self.spellings)
        if not self.words:
            raise UserError("The lexicon is empty; give it the words of the training text.")
        for word, variants in self.spellings.items():
            if not variants or () in variants:
                raise UserError(f"Lexicon word {word!r} has no spelling; give one or leave it out.")

    @classmethod
    def from_words(cls, words: Iterable[str], g2p: Callable[[str], Sequence[str]], units) -> "Lexicon":
        """Spell `words` with a grapheme-to-phoneme function and phoneme `units`; words without a sound are left out."""
        spellings = {word: units.encode(" ".join(g2p(word))) for word in set(words)}
        return cls({word: [spelling] for word, spelling in spellings.items() if spelling})

    def check(self, size: int, blank: int, boundary: int) -> None:
        """Raise UserError where a spelling has a unit that is none of ``size``, the blank or the boundary."""
        for word, variants in self.spellings.items():
            bad = [unit for spelling in variants for unit in spelling if unit in (blank, boundary) or unit >= size]
            if bad:
                raise UserError(
                    f"Lexicon word {word!r} is spelled with unit {bad[0]}, which is the "
                    f"blank, the boundary or not among the {size} units."
                )
