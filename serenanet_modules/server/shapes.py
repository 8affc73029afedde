"""Answers in the shapes of OpenAI's API, as https://platform.openai.com/docs/api-reference/audio gives them."""

import json
import math
import zlib

from pydantic import BaseModel, Field

from serenanet_modules.decoding.confidence import LEAST
from serenanet_modules.inference import formats
from serenanet_modules.inference.timestamps import surface
from serenanet_modules.server.guard import room


class Alternative(BaseModel):
    """What may have been said, beyond OpenAI's API, and its probability among those of the n-best list."""

    text: str
    confidence: float


class Listed(Alternative):
    """A text of an n-best list."""

    score: float = Field(description="score of the search: weighted log-probabilities and bonuses; higher is better")


class Insertion(BaseModel):
    """What may have been said between two words, before the first or behind the last, beyond OpenAI's API."""

    position: int = Field(description="how many words of the segment come before it")
    start: float
    end: float
    alternatives: list[Alternative] = Field(description="one or several words each, and an empty text for none")


class Word(BaseModel):
    """A word, its times in seconds, and, beyond OpenAI's API, its confidence and what may stand in its place."""

    word: str
    start: float
    end: float
    confidence: float
    speaker: str | None = Field(None, description="where `speakers` asks who speaks")
    alternatives: list[Alternative] | None = Field(None, description="where `nbest` asks for them")


class Segment(BaseModel):
    """A piece of the audio that was decoded at once, times in seconds."""

    id: int
    seek: int = Field(description="start in frames of 10 ms")
    start: float
    end: float
    text: str
    tokens: list[int] = Field(description="units of the model")
    temperature: float = Field(description="always 0: decoding does not sample")
    avg_logprob: float = Field(description="mean log posterior of the tokens, as the network gives it")
    compression_ratio: float
    no_speech_prob: float = Field(description="always 0: silence gives no segment")
    speaker: str | None = Field(None, description="where `speakers` asks who speaks")
    alternatives: list[Listed] | None = Field(None, description="where `nbest` asks for them, this text first")
    insertions: list[Insertion] | None = Field(
        None, description="where `nbest` asks and other texts have words between"
    )


class Usage(BaseModel):
    """What was transcribed."""

    type: str = "duration"
    seconds: float


class Transcription(BaseModel):
    """``response_format`` json."""

    text: str
    usage: Usage


class VerboseTranscription(BaseModel):
    """``response_format`` verbose_json, with words or segments where ``timestamp_granularities[]`` asks for them.

    ``calibrated``, beyond OpenAI's API, says whether words' confidences are probabilities that they are right.
    """

    task: str = "transcribe"
    language: str
    duration: float
    text: str
    words: list[Word] | None = None
    segments: list[Segment] | None = None
    calibrated: bool = False
    srt: str | None = Field(None, description="subtitles, where `include[]` asks for them; as is vtt")
    vtt: str | None = None
    usage: Usage


def transcription(transcript):
    """A `Transcript` as `Transcription`."""
    return Transcription(text=transcript.text, usage=_usage(transcript))


def events(transcript):
    """A `Transcript` as server-sent events: the text of each segment, then all of it.

    Examples
    --------
    >>> from serenanet_modules.inference.transcript import Segment, Transcript
    >>> parts = [Segment(text, 0.0, 1.0, 0.9, (), ()) for text in ("saa", "mbili")]
    >>> print(events(Transcript("saa mbili", 2.0, tuple(parts))), end="")
    data: {"type": "transcript.text.delta", "delta": "saa"}
    <BLANKLINE>
    data: {"type": "transcript.text.delta", "delta": " mbili"}
    <BLANKLINE>
    data: {"type": "transcript.text.done", "text": "saa mbili"}
    <BLANKLINE>
    """
    found, at = [], 0
    for segment in transcript.segments:
        end = transcript.text.index(segment.text, at) + len(segment.text)
        found.append({"type": "transcript.text.delta", "delta": transcript.text[at:end]})
        at = end
    found.append({"type": "transcript.text.done", "text": transcript.text})
    return "".join(map(_event, found))


def progress(share):
    """How far a transcription is, as a server-sent event: the share that is heard, None while it waits."""
    return _event({"type": "transcript.progress", "share": None if share is None else round(share, 4)})


def done(shape):
    """A `VerboseTranscription` as the last server-sent event."""
    return _event({"type": "transcript.text.done", **shape.model_dump(exclude_none=True)})


def failed(body):
    """The JSON of an error as the last server-sent event."""
    return _event({"type": "error", **body})


def _event(content):
    return f"data: {json.dumps(content)}\n\n"


def verbose(transcript, language, units, granularities=("word", "segment"), include=("srt", "vtt")):
    """A `Transcript` as `VerboseTranscription`.

    Parameters
    ----------
    transcript : Transcript
    language : str
    units : Units
        Of the model, for the tokens' numbers.
    granularities : collection of str
        ``word`` and ``segment``, what is to be given.
    include : collection of str
        ``srt`` and ``vtt``, what is to be given besides.
    """
    ids = {surface(units, label): label for label in range(units.size)}
    return VerboseTranscription(
        language=language,
        duration=transcript.duration,
        text=transcript.text,
        words=[_word(word, s.speaker) for s in transcript.segments for word in s.words]
        if "word" in granularities
        else None,
        segments=[_segment(i, segment, ids) for i, segment in enumerate(transcript.segments)]
        if "segment" in granularities
        else None,
        calibrated=transcript.calibrated,
        usage=_usage(transcript),
        **{name: formats.write(transcript, name) for name in include},
    )


def _word(word, speaker):
    said = {"word": word.text, "start": word.start, "end": word.end, "confidence": word.confidence}
    return Word(**said, speaker=speaker or None, alternatives=_alternatives(word))


def _alternatives(part):
    return [Alternative(text=a.text, confidence=a.confidence) for a in part.alternatives] or None


def _insertion(found):
    return Insertion(position=found.position, start=found.start, end=found.end, alternatives=_alternatives(found))


def _segment(number, segment, ids):
    text = segment.text.encode()
    confidences = [token.confidence for token in segment.tokens] or [segment.confidence]
    return Segment(
        id=number,
        seek=round(100 * segment.start),
        start=segment.start,
        end=segment.end,
        text=segment.text,
        tokens=[ids[token.text] for token in segment.tokens],
        temperature=0.0,
        avg_logprob=sum(math.log(max(c, LEAST)) for c in confidences) / len(confidences),
        compression_ratio=len(text) / len(zlib.compress(text)),
        no_speech_prob=0.0,
        speaker=segment.speaker or None,
        alternatives=[Listed(text=a.text, confidence=a.confidence, score=a.score) for a in segment.alternatives]
        or None,
        insertions=[_insertion(found) for found in segment.insertions] or None,
    )


def _usage(transcript):
    return Usage(seconds=transcript.duration)


def model(found, service, started):
    """A `Model` as an entry of ``/v1/models``; what follows ``owned_by`` goes beyond OpenAI's API."""
    options = service.options
    return {
        "id": found.name,
        "object": "model",
        "created": started,
        "owned_by": "serenanet",
        "language": found.language,
        "streaming": found.can_stream,
        "max_upload_bytes": room(options),
        "max_seconds": options.max_seconds,
        "corrections": options.corrections is not None,
    }
