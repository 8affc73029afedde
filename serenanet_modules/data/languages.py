"""Units of several languages: shared ones after a token that says which it is, or each language's own."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from serenanet_modules.data.units import BLANK, SentencePieceUnits, Units, train_units
from serenanet_modules.errors import UserError
from serenanet_modules.runtime.files import replacing, write_json

UNKNOWN, UNKNOWN_SURFACE = "<unk>", "⁇"  # as SentencePiece writes them


class LanguageTokens(Units):
    """Units that all languages share, and a token for each language, which its labels begin with.

    The token stands in no text. A model that predicts labels one after the other says by it which language it goes on
    in (Radford et al., 2022); to CTC it is a label like another (Peng et al., OWSM-CTC, 2024).

    Parameters
    ----------
    units : SentencePieceUnits
    locales : sequence of str
    """

    languages = "token"

    def __init__(self, units: SentencePieceUnits, locales: Iterable[str]):
        self.kind, self.boundary, self._units = units.kind, units.boundary, units
        self._tokens = {locale: units.size + i for i, locale in enumerate(locales)}
        self.pieces = [*units.pieces, *(f"<{locale}>" for locale in self._tokens)]
        self.marks = frozenset(self._tokens.values())

    def speaking(self, locale: str) -> "LanguageTokens":
        """The same units, of which a search by an attention decoder says a language's token first.

        Raises
        ------
        UserError
            For a language without one.
        """
        if locale not in self._tokens:
            raise UserError(f"--language: the model has no {locale!r}; it has {', '.join(self._tokens)}")
        told = LanguageTokens(self._units, self._tokens)
        told.unsaid_first = tuple(label for label in range(self.size) if label != self._tokens[locale])
        return told

    def encode(self, text: str, locale: str | None = None) -> list[int]:
        """As of `Units`; a language without a token, or none, gives the text's units alone."""
        token = [self._tokens[locale]] if locale in self._tokens else []
        return token + self._units.encode(text)

    def decode(self, ids: Iterable[int]) -> str:
        return self._units.decode([i for i in map(int, ids) if i not in self.marks])

    def save(self, folder: str | Path) -> None:
        _save(self, folder, {"locales": list(self._tokens)}, self._units.model)


class OwnUnits(Units):
    """Each language has units of its own; what is written says the language. All share the blank.

    Parameters
    ----------
    units : mapping of str to SentencePieceUnits
        By locale, all of one kind.
    """

    languages = "own"

    def __init__(self, units: Mapping[str, SentencePieceUnits]):
        first = next(iter(units.values()))
        self.kind, self.boundary, self._units = first.kind, first.boundary, dict(units)
        self.pieces, self._starts = [BLANK], {}
        for locale, own in units.items():
            self._starts[locale] = len(self.pieces) - 1  # the blank is not repeated
            self.pieces += own.pieces[1:]

    def encode(self, text: str, locale: str | None = None) -> list[int]:
        """As of `Units`; [] for a language that has none.

        Raises
        ------
        UserError
            Where it is not said which language it is.
        """
        if locale is None:
            raise UserError(f"each language has its own units; give --locale, one of {', '.join(self._units)}")
        if locale not in self._units:
            return []
        return [self._starts[locale] + i for i in self._units[locale].encode(text)]

    def decode(self, ids: Iterable[int]) -> str:
        said = (self.pieces[i] for i in map(int, ids) if i != self.blank_id)
        text = "".join(UNKNOWN_SURFACE if piece == UNKNOWN else piece for piece in said)
        return " ".join(text.replace(self.boundary, " ").split())

    def save(self, folder: str | Path) -> None:
        models = {locale: own.model for locale, own in self._units.items()}
        about = {"locales": list(models), "bytes": [len(model) for model in models.values()]}
        _save(self, folder, about, b"".join(models.values()))


def train_language_units(
    languages: str, kind: str, texts: Iterable[str], locales: Iterable[str], vocab_size: int | None
) -> Units:
    """Make units from training text as `train_units` does.

    Parameters
    ----------
    languages : str
        ``shared``, ``token`` or ``own``: how they tell languages apart.
    kind, texts, vocab_size
        As of `train_units`; of own units the number is that of each language.
    locales : iterable of str
        The language of each text.

    Raises
    ------
    UserError
        As of `train_units`, with the language whose text does not allow it.
    """
    if languages == "shared":
        return train_units(kind, texts, vocab_size)
    by_locale = {}
    for text, locale in zip(texts, locales, strict=True):
        by_locale.setdefault(locale, []).append(text)
    if languages == "token":
        return LanguageTokens(train_units(kind, sum(by_locale.values(), []), vocab_size), sorted(by_locale))
    return OwnUnits({locale: _own(locale, kind, by_locale[locale], vocab_size) for locale in sorted(by_locale)})


def _own(locale, kind, texts, vocab_size):
    try:
        return train_units(kind, texts, vocab_size)
    except UserError as error:
        raise UserError(f"{locale}: {error}") from error


def opened(saved: dict, model: bytes) -> Units:
    """Units of a saved index and the bytes beside it.

    Raises
    ------
    ValueError, KeyError, TypeError, RuntimeError
        Where they are broken.
    """
    kind, locales = saved["kind"], saved["locales"]
    if saved["languages"] == LanguageTokens.languages:
        return LanguageTokens(SentencePieceUnits(kind, model), locales)
    if saved["languages"] != OwnUnits.languages:
        raise ValueError(saved["languages"])
    starts = [sum(saved["bytes"][:i]) for i in range(len(locales) + 1)]
    models = [model[start:end] for start, end in zip(starts, starts[1:], strict=False)]
    return OwnUnits({name: SentencePieceUnits(kind, own) for name, own in zip(locales, models, strict=True)})


def _save(units, folder, about, model):
    with replacing(Path(folder) / "units.model") as path:
        path.write_bytes(model)
    write_json(
        Path(folder) / "units.json", {"kind": units.kind, "size": units.size, "languages": units.languages, **about}
    )
