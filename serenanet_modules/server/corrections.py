"""Transcripts that people have corrected: as files of any format, and kept with their audio for a training.

What is kept are two files for each recording in one folder, the audio as it was sent and an ELAN file with what is said
in it: annotated recordings, as the Custom recipe and the commands that take a corpus read them.
"""

import hashlib
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import anyio
from fastapi import APIRouter, Request, UploadFile
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from serenanet_modules.data.annotations import elan_writing
from serenanet_modules.data.audio import SAMPLE_RATE
from serenanet_modules.data.endings import AUDIO
from serenanet_modules.inference import formats
from serenanet_modules.inference.transcript import Segment, Transcript, Word
from serenanet_modules.runtime.files import replacing, write_text
from serenanet_modules.server import uploads
from serenanet_modules.server.errors import APIError
from serenanet_modules.server.guard import MULTIPART, TextRoute, UploadRoute
from serenanet_modules.server.transcriptions import TOKEN

LONGEST_NAME, HASH = 80, 12  # bytes of a recording's name that are kept, and digits of its hash
MOST = 50_000  # words or segments
LATER = 1.0  # seconds that browsers and we may differ about a recording's end

exporting = APIRouter(route_class=TextRoute, dependencies=TOKEN)
saving = APIRouter(route_class=UploadRoute, dependencies=TOKEN)

Second = Annotated[float, Field(ge=0, le=10**7, allow_inf_nan=False)]
Text = Annotated[str, Field(max_length=20_000)]


class Part(BaseModel):
    """Text that is said from one second to another."""

    model_config = ConfigDict(extra="forbid")

    start: Second
    end: Second


class EditedWord(Part):
    """A word; its confidence is 1 where a person wrote it."""

    word: Text
    confidence: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 1.0


class EditedSegment(Part):
    """A segment and its words; by default, and where they are not the text's, the text's, which share its time."""

    text: Text
    speaker: Text = ""
    words: Annotated[list[EditedWord], Field(max_length=MOST)] = []
    cut: Annotated[bool, Field(description="its times are a person's, to which nothing is added")] = False
    checked: Annotated[bool, Field(description="without it a segment is left out")] = True


class Edited(BaseModel):
    """A transcript as a person left it."""

    model_config = ConfigDict(extra="forbid")

    duration: Second
    segments: Annotated[list[EditedSegment], Field(max_length=MOST)]


class Export(Edited):
    """A transcript that is to be written as a file."""

    format: Literal[tuple(formats.SUFFIXES)]
    name: Annotated[str, Field(max_length=1000, description="the recording's file")] = "audio"


class Correction(BaseModel):
    """A recording and its corrected transcript."""

    file: Annotated[UploadFile, Field(description="the audio, as it was transcribed")]
    name: Annotated[str, Field(max_length=1000, description="of the recording's file, which says what kind it is")]
    transcript: Annotated[str, Field(description="JSON: duration, and segments with start, end and text")]


class Saved(BaseModel):
    """Names of the files that are kept."""

    audio: str
    annotations: str


@exporting.post("/v1/export", response_class=PlainTextResponse)
async def export(request: Request, edited: Export):
    """A transcript as a file of one of the formats that the command writes."""
    place = "/" + edited.name.replace("\\", "/").rpartition("/")[2]  # of what lies beside the file, on no machine
    name = place if edited.format == "eaf" else place[1:]
    limiter = request.app.state.service.decoding
    text = await anyio.to_thread.run_sync(formats.write, _transcript(edited), edited.format, name, limiter=limiter)
    return PlainTextResponse(text)


@saving.post("/v1/corrections", status_code=201, response_model=Saved)
async def save(request: Request, form: Annotated[Correction, MULTIPART]):
    """Keep a recording with its corrected transcript, in the place of an earlier one of the same recording."""
    service = request.app.state.service
    if service.options.corrections is None:
        raise APIError(
            404, "this server does not save corrections; start it with --corrections FOLDER", code="no_corrections"
        )
    try:
        edited = Edited.model_validate_json(form.transcript)
    except ValidationError as error:
        raise _invalid(f"{error.errors()[0]['msg']} at {error.errors()[0]['loc']}") from None
    kept = _transcript(edited)
    if not kept.text:
        raise _invalid("no segment has a text")
    arguments = service.options, form.file.file, form.name, kept
    return await anyio.to_thread.run_sync(_keep, *arguments, limiter=service.decoding)


def _transcript(edited):
    """A `Transcript` of what a person left and checked; segments without a text are none.

    A part of a recording's segments has the room that it has beside the others.
    """
    for part in (*edited.segments, *(word for segment in edited.segments for word in segment.words)):
        if not part.start <= part.end <= edited.duration + LATER:
            raise _invalid(f"a segment or word lies from {part.start:g} to {part.end:g} s, of {edited.duration:g} s")
    said = [segment for segment in edited.segments if segment.text.strip()]
    segments = tuple(map(_segment, said))
    if not all(segment.checked for segment in said):
        placed = zip(said, formats.roomy(segments, edited.duration), strict=True)
        segments = tuple(replace(segment, cut=True) for one, segment in placed if one.checked)
    text = " ".join(segment.text for segment in segments)
    return Transcript(text, edited.duration, segments)


def _segment(edited):
    text = " ".join(edited.text.split())
    words = tuple(Word(w.word, w.start, w.end, w.confidence) for w in edited.words)
    if " ".join(word.text for word in words) != text:
        words = _shared(text, edited.start, edited.end)
    sure = sum(word.confidence for word in words) / len(words)
    return Segment(text, edited.start, edited.end, sure, words, (), edited.speaker, cut=edited.cut)


def _shared(text, start, end):
    """The words of a text whose times nobody knows: each has as much of its time as of its letters."""
    words, before, placed = text.split(), 0, []
    second = (end - start) / sum(map(len, words))
    for word in words:
        placed.append(Word(word, start + second * before, start + second * (before + len(word)), 1.0))
        before += len(word)
    return tuple(placed)


def _invalid(message):
    return APIError(400, f"the transcript cannot be used: {message}", "transcript", "invalid_value")


def _keep(options, file, name, kept):
    """Write both files, and say what they are called."""
    stem, suffix = _named(name, file, options.corrections)
    audio, annotations = (options.corrections / f"{stem}.{ending}" for ending in (suffix, "eaf"))
    if audio.exists():
        _check_within(kept, audio, options)
    else:
        file.seek(0)
        with replacing(audio) as partial:
            with open(partial, "wb") as copy:
                shutil.copyfileobj(file, copy)
            _check_within(kept, partial, options)
    document = formats.document(kept, f"/{audio.name}")
    said = tuple(tier for tier in document.tiers if tier.type == "phrases")
    write_text(annotations, elan_writing.write(replace(document, tiers=said)))
    return Saved(audio=audio.name, annotations=annotations.name)


def _check_within(kept, audio, options):
    """Refuse what is said behind the end of the recording."""
    seconds = len(uploads.decoded(audio, options.max_seconds, options.timeout)) / SAMPLE_RATE
    if kept.segments and (last := max(segment.end for segment in kept.segments)) > seconds + LATER:
        raise _invalid(f"a segment ends at {last:g} s, but the recording has {seconds:g} s")


def _named(name, file, folder):
    """What a recording is called in a folder: as before if it is there, else by the client's name and a hash.

    Of the name stays what leads nowhere else; the hash is that of the sound.
    """
    _, dot, suffix = name.rpartition(".")
    if not dot or suffix.lower() not in AUDIO:
        raise APIError(400, f"the recording's name must end in one of {', '.join(AUDIO)}", "name", "invalid_value")
    ending = f"-{hashlib.file_digest(file, 'sha256').hexdigest()[:HASH]}"
    if known := next(folder.glob(f"*{ending}.{suffix.lower()}"), None):
        return known.stem, suffix.lower()
    stem = re.sub(r"[^\w-]+", "_", Path(name.replace("\\", "/")).stem).strip("_") or "audio"
    return stem.encode()[:LONGEST_NAME].decode("utf-8", "ignore") + ending, suffix.lower()
