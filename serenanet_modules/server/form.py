"""The form of a transcription, as OpenAI's API has it, with fields of ours."""

from typing import Annotated, Literal

from fastapi import UploadFile
from pydantic import AfterValidator, BaseModel, Field

from serenanet_modules.inference.hotwords import WEIGHT
from serenanet_modules.inference.speakers import AUTO, MOST
from serenanet_modules.server.service import ALIAS

Granularity, Subtitles = Literal["word", "segment"], Literal["srt", "vtt"]


def _speakers(text):
    """How many speak, "auto", or None where nobody asks."""
    if text in (None, "", AUTO):
        return text or None
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MOST):
        raise ValueError(f"must be from 1 to {MOST}, or {AUTO}")
    return int(text)


def _told(description):
    return Field(description=description)


class Form(BaseModel):
    """What a client sends with a recording."""

    file: Annotated[UploadFile, _told("audio of any rate, channel count and format")]
    model: Annotated[str | None, _told(f"name of a model of this server; its first by default, or for {ALIAS}")] = None
    language: Annotated[
        str | None, _told("code or name of the language, or auto; one that the model lacks is an error")
    ] = None
    prompt: Annotated[str | None, _told("has no effect")] = None
    response_format: Literal["json", "text", "srt", "verbose_json", "vtt"] = "json"
    temperature: Annotated[float, Field(ge=0, le=1), _told("has no effect: decoding does not sample")] = 0
    granularities: Annotated[
        list[Granularity], Field(alias="timestamp_granularities[]"), _told("of verbose_json; segment by default")
    ] = []
    more_granularities: Annotated[list[Granularity], Field(alias="timestamp_granularities")] = []
    include: Annotated[
        list[Subtitles], Field(alias="include[]"), _told("of verbose_json: subtitles beside the rest")
    ] = []
    more_include: Annotated[list[Subtitles], Field(alias="include")] = []
    stream: Annotated[bool, _told("server-sent events: of json the text of each segment, of verbose_json progress")] = (
        False
    )
    hotwords: Annotated[str | None, _told("words and phrases that are expected, with commas or line ends between")] = (
        None
    )
    hotword_weight: Annotated[float, _told("bonus for each of their letters, in nats")] = WEIGHT
    nbest: Annotated[int, _told("of verbose_json: how many texts are listed")] = 1
    digits: Annotated[bool, _told("numbers as digits (sw, en)")] = False
    speakers: Annotated[
        str | None,
        AfterValidator(_speakers),
        _told(f"say who speaks: the number of speakers, up to {MOST}, or auto; text and times stay"),
    ] = None
