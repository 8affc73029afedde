"""A known text in a model's units, whose letters the model need not all have."""

import unicodedata

from serenanet_modules.data.phonemes import WORD_BOUNDARY, g2p
from serenanet_modules.data.text import PLAIN, normaliser
from serenanet_modules.data.text.characters import LETTERS_WITHOUT_PARTS
from serenanet_modules.data.text.marks import KEPT, without_marks
from serenanet_modules.decoding.decoder import Hypothesis
from serenanet_modules.errors import UserError

UNKNOWN = "<unk>"  # SentencePiece's unit for what has none


def spelled(units, locale, text, unknown="error", style=PLAIN):
    """A text in the model's units, as a `Hypothesis` with the words as they were written.

    Parameters
    ----------
    units : Units
    locale : str
        Whose rules normalise the text, and whose units it is written in.
    text : str
    unknown : {"error", "skip", "nearest"}
        What to do with letters that have no unit: refuse the text, leave them out, or take the letter that they are
        without their marks, where that has one. A word of which nothing is left is left out.
    style : Style
        In which the units write.

    Raises
    ------
    UserError
        Where the text is empty or cannot be written in the units.
    """
    rule = normaliser(locale, style)
    words = rule(text).split()
    say = _phones(units, locale) if units.phonemic else str
    marks = {word for word in words if KEPT.fullmatch(word) and word in units.pieces}  # transcribers', each a unit
    said = {word: word if word in marks else say(word) for word in words}
    strange = unknown_letters(units, locale, (sound for word, sound in said.items() if word not in marks))
    strange |= dict.fromkeys(_dropped(rule, text), "")
    if strange and unknown == "error":
        raise UserError(
            f"the text has {'phonemes' if units.phonemic else 'letters'} that the model has no unit for: "
            f"{in_words(strange)}; --unknown nearest takes those in brackets, --unknown skip leaves them out"
        )
    taken = {letter: near if unknown == "nearest" else "" for letter, near in strange.items()}
    said = {word: _replaced(units, sound, taken) for word, sound in said.items()}
    words = [word for word in words if said[word].strip()]
    if not words:
        raise UserError(f"the text is empty: nothing of {text[:80]!r} can be written in the units of the model")
    if units.phonemic:
        labels = units.encode(f" {WORD_BOUNDARY} ".join(said[word] for word in words))
    else:
        labels = units.encode(" ".join(said[word] for word in words), locale)
    return Hypothesis(labels, " ".join(words), words)


def _dropped(rule, text):
    """Letters of words of which a language's rule leaves nothing, as of those of another script."""
    words = {word for word in without_marks(text).split() if not rule(word)}
    return sorted({letter for word in words for letter in word if letter.isalpha()})


def unknown_letters(units, locale, words):
    """Letters, or phonemes, of words that have no unit, each with the nearest that has one, "" where there is none."""
    if units.phonemic:
        return dict.fromkeys(sorted(set(" ".join(words).split()) - set(units.pieces)), "")
    letters = sorted(set("".join(words)))
    return {letter: _nearest(units, locale, letter) for letter in letters if not _known(units, locale, letter)}


def in_words(strange):
    """``é (e), x``."""
    return ", ".join(f"{letter} ({near})" if near else letter for letter, near in strange.items())


def _phones(units, locale):
    say = g2p(locale)
    return lambda word: " ".join(say(word))


def _replaced(units, sound, taken):
    """A word without its strange letters; of phonemes, which stand between spaces, each is one."""
    if units.phonemic:
        return " ".join(filter(None, (taken.get(phone, phone) for phone in sound.split())))
    return "".join(taken.get(letter, letter) for letter in sound)


def _nearest(units, locale, letter):
    plain = unicodedata.normalize("NFKD", letter.translate(LETTERS_WITHOUT_PARTS))
    bare = "".join(c for c in plain if unicodedata.category(c)[0] != "M")
    return bare if bare and all(_known(units, locale, c) for c in bare) else ""


def _known(units, locale, letter):
    return UNKNOWN not in (units.pieces[label] for label in units.encode(letter, locale))
