"""What a recogniser heard in sets of utterances, kept on disk so that an interrupted evaluation goes on."""

import hashlib
import time
from dataclasses import asdict, astuple, dataclass, fields, replace
from pathlib import Path

from serenanet_modules.data.phonemes import WORD_BOUNDARY
from serenanet_modules.inference.alternatives import texts_of
from serenanet_modules.runs.choice import lm_sha256
from serenanet_modules.runtime.files import fingerprint, read_json, write_json


@dataclass(frozen=True)
class Said:
    """Of one utterance: its text, its units with a mark between words, (word, confidence) pairs, pieces that looped.

    ``others`` are (text, probability, score) of the n-best list, the text first, where one was wanted.
    """

    text: str
    phones: str
    words: list[tuple[str, float]]
    calibrated: bool
    loops: int = 0
    others: tuple[tuple[str, float, float], ...] = ()

    def written_by(self, rule):
        """The same by a rule that writes text as references are written."""
        words = [(rule(word), confidence) for word, confidence in self.words]
        others = tuple((rule(text), *told) for text, *told in self.others)
        return replace(self, text=rule(self.text), words=[pair for pair in words if pair[0]], others=others)

    @classmethod
    def of(cls, transcript, join, n=1):
        """Of a `Transcript`, with ``n`` texts, which `texts_of` joins."""
        said = (" ".join(token.text for token in segment.tokens) for segment in transcript.segments)
        phones = f" {WORD_BOUNDARY} ".join(filter(None, said))  # where audio is cut, a word ends
        words = [(word.text, word.confidence) for word in transcript.words]
        loops = sum(segment.looped for segment in transcript.segments)
        others = tuple(map(astuple, texts_of(transcript.segments, join, n))) if n > 1 else ()
        return cls(transcript.text, phones, words, transcript.calibrated, loops, others)


class Hearing:
    """Recognises sets of prepared utterances, each once.

    Parameters
    ----------
    recognizer : Recognizer
    lm : path or "auto" or None
        As of `Recognizer.transcribe`.
    root : Path
        Folder of the prepared data, whose name says what they are. Files in its folder ``heard`` are named after the
        set and a hash of the weights, the decoding and the language model.
    """

    def __init__(self, recognizer, lm, root):
        self.recognizer, self.lm, self.root = recognizer, lm, Path(root)
        decoder = recognizer.decoder(lm)
        told = [{field.name: field.type for field in fields(Said)}]
        told += [fingerprint(recognizer.modules.state_dict()), decoder.name, lm_sha256(recognizer.run, lm)]
        told += [getattr(decoder, name, None) for name in ("lm_weight", "word_score")]
        told += [recognizer.run.wishes, sorted(recognizer.computing.items())]
        told += [f"{key}={value}" for key, value in sorted(recognizer.settings.items())]
        self._key = hashlib.sha256("\n".join(map(str, told)).encode()).hexdigest()[:12]

    def of(self, name, rows, batch_seconds, progress=False):
        """What is said in the utterances of a set, by id, and the seconds that recognition takes or took."""
        file = self.root / "heard" / f"{name}-{self._key}.json"
        if not file.is_file():
            write_json(file, self._heard(rows, batch_seconds, progress))
        kept = read_json(file)
        return {key: Said(**found) for key, found in kept["utterances"].items()}, kept["seconds"]

    def _heard(self, rows, batch_seconds, progress):
        start = time.monotonic()
        found = self.recognizer.transcribe([self.root / u.path for u in rows], batch_seconds, self.lm, progress)
        listed = self.recognizer.decoder(self.lm).join, self.recognizer.run.wishes.nbest
        heard = {u.id: asdict(Said.of(transcript, *listed)) for u, transcript in zip(rows, found, strict=True)}
        return {"seconds": time.monotonic() - start, "utterances": heard}
