"""Whisper's own units: byte pairs (Sennrich et al. 2016) of any text, and labels of languages and tasks.

A text ends with one label and is introduced by several others. Here the label that ends it is 0, as in all units, and
the tokens before it in Whisper's list count from 1.
"""

import json
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from serenanet_modules.data import codes
from serenanet_modules.data.units import BLANK, Units
from serenanet_modules.errors import UserError
from serenanet_modules.runtime.files import replacing, write_json

TOKENIZER, INDEX = "tokenizer.json", "units.json"
END, START, PLAIN = "<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>"
SILENT = ("<|nospeech|>", "<|nocaptions|>")  # its two names
TASKS = ("transcribe", "translate")
MOST = 2**24  # bytes of a tokenizer's file


class WhisperUnits(Units):
    """Byte pairs with a leading space where a word begins.

    Parameters
    ----------
    tokenizer : str
        Content of tokenizer.json.
    size : int
        Tokens that the model knows.
    unsaid, unsaid_first : iterable of int
        Labels that are no text, at all or as the first one; all labels after the end's in Whisper's list are added.
    several : bool
        Whether a language and a task are to be said.
    normalised : bool
        As of `Units`; Whisper itself has capitals and punctuation, one that was trained on plain words has none.

    Attributes
    ----------
    end : int
        Whisper's number of the token that ends a text.

    Raises
    ------
    ValueError
        For what is no tokenizer of Whisper.
    """

    kind, boundary = "whisper", "Ġ"

    def __init__(self, tokenizer: str, size: int, unsaid=(), unsaid_first=(), several=True, normalised=False):
        from tokenizers import Tokenizer

        try:
            self._tokenizer = Tokenizer.from_str(tokenizer)
        except Exception as error:  # of the library's own, which has no other name
            raise ValueError(f"no tokenizer ({error})") from None
        self._told = (tokenizer, size, tuple(unsaid), tuple(unsaid_first), several, normalised)
        self.end, self.several, self.normalised = self._token(END), several, normalised
        self.pieces = [BLANK, *(self._tokenizer.id_to_token(i) or f"<|{i}|>" for i in range(size) if i != self.end)]
        self.unsaid = tuple(sorted({*unsaid, *range(self.end + 1, size)}))
        self.unsaid_first = tuple(unsaid_first)
        silent = [self._tokenizer.token_to_id(name) for name in SILENT]
        self.no_speech = next((self.label(token) for token in silent if token is not None), None)
        if max(self.unsaid + self.unsaid_first, default=0) >= size or self._token(PLAIN) >= size:
            raise ValueError(f"labels beyond the {size} of the model")

    def __reduce__(self):
        return type(self), self._told

    def of_plain_words(self) -> "WhisperUnits":
        """The same for a model that learns texts as the locale's rules write them."""
        return type(self)(*self._told[:-1], True)

    def _token(self, name):
        found = self._tokenizer.token_to_id(name)
        if found is None:
            raise ValueError(f"no token {name}")
        return found

    def label(self, token: int) -> int:
        """The label of a token of Whisper's list."""
        return 0 if token == self.end else token + (token < self.end)

    def prefix(self, language: str | None = None, task: str | None = None) -> list[int]:
        """Labels that introduce a text of a language and a task.

        Parameters
        ----------
        language : str, optional
            Its code or name, such as ``sw`` or ``Swahili``; of a model of English alone none.
        task : {"transcribe", "translate"}, optional

        Raises
        ------
        UserError
            For a language or task that it does not have.
        """
        task = task or TASKS[0]
        if not self.several:
            if language not in (None, "en") or task != TASKS[0]:
                raise UserError("--language, --task: this Whisper transcribes English alone")
            return [*self.prefix_start, self.label(self._token(PLAIN))]
        if task not in TASKS:
            raise UserError(f"--task: {task} is none of {', '.join(TASKS)}")
        spoken = None if language is None else self.spoken.get(self.language(language))
        if spoken is None:
            asked = (
                "say which language is spoken (serenanet evaluate: --locale)"
                if language is None
                else f"Whisper has no language {language!r}"
            )
            raise UserError(f"--language: {asked}; it has {' '.join(self.spoken)}")
        behind = [self.label(self._token(name)) for name in (f"<|{task}|>", PLAIN)]
        return [*self.prefix_start, spoken, *behind]

    @property
    def prefix_start(self) -> list[int]:
        """Labels before that of the language."""
        return [self.label(self._token(START))]

    @cached_property
    def spoken(self) -> dict[str, int]:
        """Labels of languages by their codes."""
        names = [piece[2:-2] for piece in self.pieces if piece.startswith("<|") and piece.endswith("|>")]
        codes = [name for name in names if name.isalpha() and len(name) in (2, 3)]
        return {code: self.label(self._token(f"<|{code}|>")) for code in codes}

    def language(self, name: str) -> str:
        """Its own code of a language, of which a code or a name is given; that itself where it has none."""
        return name if name in self.spoken else codes.language(name)

    def encode(self, text: str, locale: str | None = None) -> list[int]:
        found = self._tokenizer.encode(f" {text}", add_special_tokens=False).ids
        return [token + 1 for token in found if token < self.end]

    def decode(self, ids: Iterable[int]) -> str:
        tokens = [int(i) - 1 for i in ids if 0 < i <= self.end]
        return " ".join(self._tokenizer.decode(tokens).split())

    def save(self, folder: str | Path) -> None:
        tokenizer, size, unsaid, first, several, normalised = self._told
        with replacing(Path(folder) / TOKENIZER) as path:
            path.write_text(tokenizer, encoding="utf-8")
        told = {"unsaid": list(unsaid), "unsaid_first": list(first)}
        told |= {"several": several, "normalised": normalised}
        write_json(Path(folder) / INDEX, {"kind": self.kind, "size": size, **told})

    @classmethod
    def load(cls, folder: Path, told: dict) -> "WhisperUnits":
        """Open what `save` wrote; ``told`` is the content of units.json."""
        labels = [[int(label) for label in told[name]] for name in ("unsaid", "unsaid_first")]
        return cls(read_tokenizer(folder), int(told["size"]), *labels, bool(told["several"]), bool(told["normalised"]))


def read_tokenizer(folder: str | Path) -> str:
    """Content of a folder's tokenizer.json.

    Raises
    ------
    ValueError
        For a file that is far too long, or no JSON.
    """
    file = Path(folder) / TOKENIZER
    if file.stat().st_size > MOST:
        raise ValueError(f"{file} is far too long")
    text = file.read_text(encoding="utf-8")
    json.loads(text)
    return text
