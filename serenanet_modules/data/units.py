"""Units: what a CTC output layer can say, and how text is written in them.

Four kinds stand behind one interface: characters, BPE and unigram pieces (all three through
SentencePiece), and phonemes. Unit 0 is always the CTC blank.
"""

import io
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path

import sentencepiece

from serenanet_modules.config.keys import KINDS_OF_UNITS
from serenanet_modules.data.text.marks import KEPT
from serenanet_modules.errors import UserError
from serenanet_modules.runtime.files import read_json, replacing, write_json

BLANK = "<blank>"
KINDS = tuple(kind for kind in KINDS_OF_UNITS if kind != "whisper")  # that `train_units` makes


class Units(ABC):
    """The interface of all kinds of units.

    Attributes
    ----------
    kind : str
        One of ``char``, ``bpe``, ``unigram``, ``phoneme``.
    pieces : list of str
        The string of every unit; ``pieces[0]`` is ``"<blank>"``.
    boundary : str
        How a word start is marked in `pieces`: SentencePiece units begin with ``"▁"``;
        phonemes have the separate unit ``"|"`` between words.
    languages : str
        How they tell languages apart, as the hyper-parameter ``language_units`` says: ``shared``, ``token``, ``own``.
    marks : frozenset of int
        Units that are no part of the text, such as a language's token.
    unsaid, unsaid_first : tuple of int
        What a search by an attention decoder leaves out everywhere, and as the first label.
    no_speech : int, optional
        What an attention decoder says first of silence.
    normalised : bool
        Whether texts are as the locale's rules write them; else they have capitals and punctuation.
    """

    kind: str
    pieces: list[str]
    boundary: str
    blank_id = 0
    languages = "shared"
    marks: frozenset[int] = frozenset()
    unsaid: tuple[int, ...] = ()
    unsaid_first: tuple[int, ...] = ()
    no_speech: int | None = None
    normalised = True

    @property
    def size(self) -> int:
        """Number of units, blank included: the width of the output layer."""
        return len(self.pieces)

    @property
    def phonemic(self) -> bool:
        """Whether they are phonemes, which a lexicon makes words of."""
        return self.kind == "phoneme"

    @property
    def spelling(self) -> list[str]:
        """What each unit adds to the text, with the boundary: `pieces`, but nothing for `marks`."""
        return ["" if i in self.marks else piece for i, piece in enumerate(self.pieces)]

    @abstractmethod
    def encode(self, text: str, locale: str | None = None) -> list[int]:
        """Ids of a normalised text of a language, or of a phoneme string such as ``"k a | b a"``."""

    @abstractmethod
    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids in which repeats are already collapsed; blanks count for nothing."""

    @abstractmethod
    def save(self, folder: str | Path) -> None:
        """Write the units to `folder`, which :func:`load_units` opens."""


class SentencePieceUnits(Units):
    """Characters or subwords of a SentencePiece model (Kudo and Richardson, 2018).

    A character that the training text lacks is encoded as ``<unk>``, which decodes to ``⁇``.

    Parameters
    ----------
    kind : str
        ``char``, ``bpe`` or ``unigram``.
    model : bytes
        A serialised SentencePiece model whose piece 0 is ``<blank>``.
    """

    boundary = "▁"

    def __init__(self, kind: str, model: bytes):
        self.kind = kind
        self.model = model
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        ids = range(self._processor.get_piece_size())
        self.pieces = [self._processor.id_to_piece(i) for i in ids]

    def __reduce__(self):  # the processor itself does not survive a data loader's worker
        return type(self), (self.kind, self.model)

    def encode(self, text: str, locale: str | None = None) -> list[int]:
        return self._processor.encode(text)

    def decode(self, ids: Iterable[int]) -> str:
        text = self._processor.decode([int(i) for i in ids if i != self.blank_id])
        return " ".join(text.split())  # two boundaries in a row are one space

    def save(self, folder: str | Path) -> None:
        with replacing(Path(folder) / "units.model") as path:
            path.write_bytes(self.model)
        write_json(Path(folder) / "units.json", {"kind": self.kind, "size": self.size})


class PhonemeUnits(Units):
    """Phonemes, with the unit ``|`` between words.

    Parameters
    ----------
    phonemes : sequence of str
        The inventory, without blank and boundary.

    Examples
    --------
    >>> units = PhonemeUnits(["a", "b", "k"])
    >>> units.pieces
    ['<blank>', '|', 'a', 'b', 'k']
    >>> units.encode("k a | b a")
    [4, 2, 1, 3, 2]
    >>> units.decode([4, 2, 1, 3, 2])
    'k a | b a'
    """

    kind = "phoneme"
    boundary = "|"

    def __init__(self, phonemes: Sequence[str]):
        self.pieces = [BLANK, self.boundary, *phonemes]
        self._ids = {piece: i for i, piece in enumerate(self.pieces)}

    def encode(self, text: str, locale: str | None = None) -> list[int]:
        try:
            return [self._ids[phoneme] for phoneme in text.split()]
        except KeyError as error:
            raise UserError(
                f"The phoneme {error.args[0]!r} in {text[:80]!r} does not occur in the training "
                "text; add a training utterance that has it, or use units of kind 'char'."
            ) from None

    def decode(self, ids: Iterable[int]) -> str:
        return " ".join(self.pieces[int(i)] for i in ids if i != self.blank_id)

    def save(self, folder: str | Path) -> None:
        phonemes = self.pieces[2:]
        write_json(Path(folder) / "units.json", {"kind": self.kind, "size": self.size, "phonemes": phonemes})


def train_units(kind: str, texts: Iterable[str], vocab_size: int | None, folder: str | Path | None = None) -> Units:
    """Make units from training text, and save them. The same text gives the same units.

    Parameters
    ----------
    kind : str
        ``char``, ``bpe``, ``unigram`` or ``phoneme``.
    texts : iterable of str
        Normalised sentences; for phonemes, strings such as ``"k a | b a"``.
    vocab_size : int or None
        Number of units, blank and ``<unk>`` included. ``bpe`` and ``unigram`` need it. For
        ``char``, None means all characters, and a smaller number makes the rarest unknown.
        Phonemes are as many as the text has, whatever `vocab_size` says.
    folder : path, optional
        Where to save the units.

    Raises
    ------
    UserError
        If `kind` is unknown, the text is empty, or `vocab_size` does not fit the text.
    """
    texts = [text for text in texts if text.strip()]
    if kind not in KINDS:
        raise UserError(f"The units' kind {kind!r} is unknown; choose one of {', '.join(KINDS)}.")
    if not texts:
        raise UserError(f"There is no training text to make units of kind {kind!r} from.")
    if kind == "phoneme":
        units = _train_phonemes(texts)
    else:
        units = SentencePieceUnits(kind, _train_sentencepiece(kind, texts, vocab_size))
    if folder is not None:
        units.save(folder)
    return units


def load_units(folder: str | Path) -> Units:
    """Open units that :meth:`Units.save` wrote, whatever their kind.

    Raises
    ------
    UserError
        If `folder` holds no units, or broken ones.
    """
    index = Path(folder) / "units.json"
    try:
        saved = read_json(index)
        if saved["kind"] not in KINDS_OF_UNITS:
            raise ValueError
        if saved["kind"] == "whisper":
            from serenanet_modules.data.whisper_units import WhisperUnits  # which is made of what stands here

            units = WhisperUnits.load(Path(folder), saved)
        elif saved["kind"] == "phoneme":
            units = PhonemeUnits(_inventory(saved["phonemes"]))
        else:
            units = _of_model(saved, (Path(folder) / "units.model").read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} is missing; copy the whole result folder again.") from None
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be read ({error.strerror}).") from None
    except (ValueError, KeyError, RuntimeError, TypeError, RecursionError):
        raise UserError(f"The units in {folder} are damaged; copy the whole result folder again.") from None
    if units.size != saved.get("size"):
        raise UserError(
            f"{index} lists {saved.get('size')} units, but the model beside it has {units.size}; copy the whole result "
            "folder again."
        )
    return units


def _of_model(saved, model):
    """Units of an index that is no list of phonemes, and the bytes beside it."""
    if "languages" not in saved:
        return SentencePieceUnits(saved["kind"], model)
    from serenanet_modules.data.languages import opened  # which is made of this module's units

    return opened(saved, model)


def _inventory(phonemes):
    """The phonemes of an index, if they are an inventory."""
    if not isinstance(phonemes, list) or len(set(phonemes)) < len(phonemes):
        raise ValueError
    if not all(isinstance(phoneme, str) and phoneme.split() == [phoneme] for phoneme in phonemes):
        raise ValueError
    return phonemes


def _train_phonemes(texts):
    inventory = {phoneme for text in texts for phoneme in text.split()} - {PhonemeUnits.boundary}
    return PhonemeUnits(sorted(inventory))


def _train_sentencepiece(kind, texts, vocab_size):
    """Return a serialised model whose size is `vocab_size`, or raise a UserError."""
    marks = sorted({mark for text in texts for mark in KEPT.findall(text)})  # transcribers', each a unit
    characters = len(set("".join(KEPT.sub("", text) for text in texts)) - {" "}) + len(marks) + 3  # blank, <unk>, ▁
    if kind == "char":
        vocab_size = characters if vocab_size is None else vocab_size
        if vocab_size > characters:
            raise _too_large(kind, vocab_size, characters)
    if not isinstance(vocab_size, int) or isinstance(vocab_size, bool) or vocab_size < 4:
        raise UserError(f"vocab_size is {vocab_size!r}; give a whole number above 3.")
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=model,
            model_type=kind,
            vocab_size=vocab_size,
            character_coverage=1.0,
            pad_id=0,
            pad_piece=BLANK,
            unk_id=1,
            unk_surface="⁇",  # without the default's spaces, which would add words
            bos_id=-1,
            eos_id=-1,
            normalization_rule_name="identity",
            add_dummy_prefix=True,
            user_defined_symbols=marks,
            split_by_unicode_script=False,  # some orthographies mix Latin and Greek letters
            split_by_number=False,
            max_sentence_length=1 << 24,  # longer ones are skipped silently; the default is 4192
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        if largest := re.search(r"too high .* <= (\d+)", str(error)):
            raise _too_large(kind, vocab_size, int(largest[1])) from None
        if smallest := re.search(r"smaller than required_chars\. \d+ vs (\d+)", str(error)):
            raise UserError(
                f"vocab_size is {vocab_size}, but the training text has more characters; the "
                f"smallest possible value for {kind!r} units is {smallest[1]}."
            ) from None
        raise UserError(f"SentencePiece cannot make {kind!r} units: {error}") from error
    return model.getvalue()


def _too_large(kind, vocab_size, largest):
    return UserError(
        f"vocab_size is {vocab_size}, but the training text allows at most {largest} {kind!r} "
        f"units; set vocab_size to {largest} or less."
    )
