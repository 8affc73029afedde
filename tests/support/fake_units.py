"""Units as small as the decoders can bear, and words made of them."""

from dataclasses import dataclass


@dataclass
class FakeUnits:
    """Piece i has id i; piece 0 is the blank."""

    pieces: list[str]
    boundary: str
    blank_id: int = 0
    marks = frozenset()
    unsaid = unsaid_first = ()
    no_speech = None

    @property
    def size(self) -> int:
        return len(self.pieces)

    @property
    def spelling(self) -> list[str]:
        return self.pieces

    def encode(self, text: str) -> list[int]:
        return [self.pieces.index(piece) for piece in text.split()]

    def decode(self, ids) -> str:
        joined = "".join(self.pieces[i] for i in ids)
        return " ".join(joined.replace(self.boundary, " ").split())


def pieces() -> FakeUnits:
    """SentencePiece-like: words begin with ▁."""
    return FakeUnits(["<blank>", "▁a", "b", "▁"], "▁")


def phonemes() -> FakeUnits:
    """Phoneme-like: | stands between words."""
    return FakeUnits(["<blank>", "a", "b", "|"], "|")
