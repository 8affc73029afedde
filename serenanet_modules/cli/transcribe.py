"""``serenanet transcribe``."""

import argparse
import sys
from pathlib import Path

from serenanet_modules.cli.opening import add_decoding, add_recogniser, add_speakers, add_spoken, opened, warn_unsure
from serenanet_modules.cli.values import add_out, formats_of, from_one, place, say_written
from serenanet_modules.errors import UserError
from serenanet_modules.runtime.amounts import counted

FORMATS = ("txt", "json", "srt", "vtt", "tsv", "ctm", "textgrid", "eaf")


def add(commands, name):
    command = commands.add_parser(name, help="write the text of recordings, with times where the format has them")
    add_recogniser(command)
    command.add_argument(
        "files", metavar="FILE", nargs="+", help="audio of any rate, channels, format, length; folders; - for a list"
    )
    command.add_argument(
        "--format",
        type=formats_of(FORMATS),
        default=["txt"],
        metavar=",".join(FORMATS),
        help="what to write, one or several (txt)",
    )
    add_out(command, "DIR", "write a file for each audio file")
    add_decoding(command, "json, tsv: the N best hypotheses; json has alternatives for each word, too")
    add_spoken(command)
    command.add_argument(
        "--piece-seconds",
        type=from_one,
        metavar="N",
        help="longest piece; longer recordings are cut at pauses (from the training's utterances)",
    )
    command.add_argument(
        "--annotations",
        type=place,
        metavar="FILE|DIR",
        help="of the recordings: --format eaf adds tiers to these ELAN files, --segment-at takes segments from them",
    )
    command.add_argument(
        "--segment-at", metavar="pause|TIER", default="pause", help="transcribe exactly the segments of a tier (pause)"
    )
    command.add_argument(
        "--channel",
        type=_channel,
        metavar="mix|left|right|N|each",
        default="mix",
        help="which channel to transcribe; each: every channel is a speaker (mix)",
    )
    command.add_argument(
        "--track", metavar="N|default|LANGUAGE", help="which sound track of a container of several (the first)"
    )
    add_speakers(command)
    command.set_defaults(run=_transcribe)


def _channel(text):
    if text in ("mix", "left", "right", "each") or (text.isdecimal() and 0 < int(text) < 1000):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is not mix, left, right, each or a number from 1")


def _transcribe(arguments):
    """Write texts as they come; a file that cannot be read is reported, and the others go on."""
    from serenanet_modules.inference import files, formats
    from serenanet_modules.runtime.bars import Bar
    from serenanet_modules.runtime.outputs import Outputs

    found = files.find(arguments.files, sys.stdin.buffer)
    _check(arguments, len(found))
    reads = [arguments.folder, arguments.annotations, *(file.path for file in found)]
    outputs, paths = Outputs("transcribe", reads, arguments.force), []
    for name in arguments.format:
        paths.append(files.outputs(found, arguments.out or Path(), formats.SUFFIXES[name]))
    if arguments.out:
        outputs.check(*(path for places in paths for path in places))
    recognizer = opened(arguments)
    if arguments.speakers or {*arguments.format} != {"txt"}:
        warn_unsure(recognizer, arguments.folder)
    status, written, silent = 0, 0, 0
    for file, places, transcript in zip(
        found, zip(*paths, strict=True), _heard(arguments, recognizer, found), strict=True
    ):
        texts = _texts(arguments, transcript, file, places if arguments.out else None)
        if isinstance(texts, UserError):
            Bar.write(f"error: {texts}", file=sys.stderr)
            status = 1
            continue
        if recognizer.run.hears_language:
            Bar.write(f"{file.name}: {transcript.language} is spoken", file=sys.stderr)
        silent += not any(segment.text for segment in transcript.segments)
        for name, path, text in zip(arguments.format, places, texts, strict=True):
            if arguments.out:
                outputs.write(path, text)
                written += 1
                continue
            Bar.write(f"{file.name}\t{text}" if name == "txt" and len(found) > 1 else text, end="")
            sys.stdout.flush()
    if written:
        speechless = f"; {counted(silent, 'recording')} without speech" if silent else ""
        say_written(arguments.out, counted(written, "file") + speechless)
    return status


def _check(arguments, count):
    """Refuse what cannot be written in one place, and tiers that nobody can find."""
    from serenanet_modules.inference.formats import SEVERAL

    if arguments.nbest > 1 and not {"json", "tsv"} & set(arguments.format):
        raise UserError(f"--nbest {arguments.nbest}: only json and tsv hold several hypotheses; give --format json")
    single = [name for name in arguments.format if name not in SEVERAL]
    if count > 1 and not arguments.out and single:
        raise UserError(f"--format {single[0]}: holds one recording; for {count} files give --out DIR")
    if len(arguments.format) > 1 and not arguments.out:
        raise UserError(f"--format {','.join(arguments.format)}: several formats are several files; give --out DIR")
    if arguments.segment_at != "pause" and not arguments.annotations:
        raise UserError(f"--segment-at {arguments.segment_at}: give the files that have this tier with --annotations")
    if arguments.annotations and arguments.segment_at == "pause" and "eaf" not in arguments.format:
        raise UserError("--annotations: are for --format eaf and --segment-at TIER; add one of them, or leave them out")
    if arguments.segment_at != "pause" and arguments.channel == "each":
        raise UserError("--channel each: does not go with --segment-at TIER; choose one channel")
    if arguments.speakers and arguments.channel == "each":
        raise UserError("--speakers: with --channel each every channel is a speaker already; give one of the two")
    if arguments.annotations and not arguments.annotations.exists():
        raise UserError(f"--annotations {arguments.annotations}: there is no such file or folder")


def _heard(arguments, recognizer, found):
    """The transcript of each recording, or the `UserError` that says why there is none, one after another."""
    from serenanet_modules.inference.channels import parts
    from serenanet_modules.inference.speakers import naming

    name = naming(arguments.speakers, whole=arguments.segment_at != "pause")
    for file, transcript in zip(found, _read(arguments, recognizer, found), strict=True):
        try:
            chosen = parts(file.path, arguments.channel, arguments.track)
            yield transcript if isinstance(transcript, UserError) else name(transcript, chosen)
        except UserError as error:
            yield error


def _read(arguments, recognizer, found):
    """The same before anybody asks who speaks."""
    from serenanet_modules.inference.channels import EACH, parts, transcribe_parts
    from serenanet_modules.inference.segments import annotations_of, spans_of, transcribe_segments

    options = arguments.batch_seconds, arguments.lm, True, arguments.piece_seconds
    chosen = arguments.channel, arguments.track
    if arguments.segment_at == "pause" and arguments.channel != EACH:
        yield from recognizer.transcripts((parts(file.path, *chosen)[""] for file in found), *options)
        return
    for file in found:
        try:
            if arguments.segment_at == "pause":
                yield transcribe_parts(recognizer, parts(file.path, *chosen), *options)
                continue
            path = annotations_of(file.path, arguments.annotations)
            spans = spans_of(file.path, path, arguments.segment_at)
            yield transcribe_segments(recognizer, parts(file.path, *chosen)[""], spans, *options)
        except UserError as error:
            yield error


def _texts(arguments, transcript, file, places):
    """The text of each output file, or the `UserError` that says why there is none."""
    if isinstance(transcript, UserError):
        return transcript
    try:
        places = places or [None] * len(arguments.format)
        return [_written(arguments, transcript, *pair, file) for pair in zip(arguments.format, places, strict=True)]
    except UserError as error:
        return error


def _written(arguments, transcript, name, path, file):
    """The text of an output file."""
    from serenanet_modules.inference import formats
    from serenanet_modules.inference.segments import annotations_of

    if name == "eaf" and arguments.annotations:
        annotated = annotations_of(file.path, arguments.annotations)
        if annotated.suffix.lower() == ".eaf":
            return formats.added(transcript, annotated, file.path)
    return formats.write(transcript, name, file.name, path)
