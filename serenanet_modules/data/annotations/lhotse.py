"""Lhotse's manifests of supervisions and cuts, ``.jsonl`` and ``.jsonl.gz`` (Żelasko et al. 2021, "Lhotse")."""

import gzip
import io
import json
import zlib
from collections import defaultdict

from serenanet_modules.data.annotations.model import Annotation, Document, by_speaker
from serenanet_modules.data.annotations.opening import MOST_BYTES, MOST_ITEMS, data_of, json_mapping, seconds
from serenanet_modules.errors import UserError

SUPERVISIONS, RECORDINGS = "supervisions", "recordings"
BEGINNING = 2**16  # bytes, in which the first line's keys are


def is_one(path):
    """Whether a file's first line is a supervision or a cut."""
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else open(path, "rb") as file:
            line = file.readline(BEGINNING)
    except (OSError, EOFError, ValueError, zlib.error):
        return False
    return (b'"recording_id"' in line and b'"start"' in line) or (b'"supervisions"' in line and b'"recording"' in line)


def is_recordings(path):
    """Whether a file's first line is a recording, as the list beside supervisions has them."""
    try:
        with open(path, "rb") as file:
            line = file.readline(BEGINNING)
    except OSError:
        return False
    return b'"sources"' in line and b'"sampling_rate"' in line and b'"supervisions"' not in line


def read(path):
    """A document a recording, or each file of one that has several, in which a tier a speaker.

    The recordings of ``x_supervisions_y.jsonl`` stand in ``x_recordings_y.jsonl`` beside it; cuts have theirs with
    them.

    Returns
    -------
    list of Document

    Raises
    ------
    UserError
        For cuts that mix several, recordings that are no files, and lists that are not there.
    """
    cuts = list(entries(path))
    if mixed := [where for where, entry in cuts if "tracks" in entry]:
        raise UserError(f"{mixed[0]}: is a cut that mixes several recordings; save it as audio, one cut a recording.")
    sources, found = {}, defaultdict(list)
    if not any(SUPERVISIONS in entry for _, entry in cuts):
        beside = path.with_name(path.name.replace(SUPERVISIONS, RECORDINGS))
        if beside == path or not beside.is_file():
            raise UserError(f"{path}: the list of its recordings, {beside.name}, is not beside it.")
        sources = {_of(r, "id", where): _sources(r, where) for where, r in entries(beside)}
    for where, entry in cuts:
        if SUPERVISIONS in entry:
            recording = _of(entry, "recording", where, dict)
            sources[_of(recording, "id", where)] = _sources(recording, where)
            offset, name = seconds(_of(entry, "start", where, float), where), recording["id"]
            inside = _of(entry, SUPERVISIONS, where, list)
        else:
            offset, name, inside = 0.0, _of(entry, "recording_id", where), [entry]
        if name not in sources:
            raise UserError(f"{where}: the recording {name!r:.60} is not in the list of recordings.")
        for supervision in inside:
            source, channel = _heard(sources[name], _of({"supervision": supervision}, "supervision", where, dict))
            found[name, source].append(_annotation(supervision, offset, channel, where))
    return [Document(path, by_speaker(inside), (source,), name) for (name, source), inside in found.items()]


def _annotation(supervision, offset, channel, where):
    start = offset + float(_of(supervision, "start", where, float))
    end = seconds(start + _of(supervision, "duration", where, float), where)
    name, text, speaker = (str(supervision.get(key) or "") for key in ("id", "text", "speaker"))
    return Annotation(text, seconds(start, where), end, speaker, name, channel)


def _sources(recording, where):
    """(path, channels) of each of a recording's files."""
    sources = _of(recording, "sources", where, list)
    if not sources or any(not isinstance(source, dict) or source.get("type") != "file" for source in sources):
        raise UserError(f"{where}: the recording {recording['id']!r:.60} is no file.")
    return [(_of(source, "source", where), source.get("channels")) for source in sources]


def _heard(sources, supervision):
    """The file in which something is said, and the channel of that from 0, None where it is said on all of them."""
    asked = supervision.get("channel")
    asked = asked[0] if isinstance(asked, list) and len(asked) == 1 else asked
    for path, channels in sources:
        if isinstance(channels, list) and type(asked) is int and asked in channels:
            return path, channels.index(asked) if len(channels) > 1 else None
    return sources[0][0], None


def _of(entry, key, where, kind=str):
    value = entry.get(key) if isinstance(entry, dict) else None
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < MOST_BYTES else None
    if not isinstance(value, kind) or (kind is str and not value):
        raise UserError(f"{where}: {key!r} is {json.dumps(value)[:60]}; is it a manifest of Lhotse?")
    return value


def entries(path):
    """Yield (where, object) of each line of a file, which may be packed; errors as of `read`."""
    data = data_of(path)
    if path.suffix.lower() == ".gz":
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
                data = file.read(MOST_BYTES + 1)
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise UserError(f"{path}: cannot be unpacked ({error}).") from None
    lines = data.splitlines()
    if len(data) > MOST_BYTES or len(lines) > MOST_ITEMS:
        raise UserError(f"{path}: is larger than {MOST_BYTES >> 20} MiB or {MOST_ITEMS} lines; cut it into several.")
    for number, line in enumerate(lines, start=1):
        if line.strip():
            where = f"{path}: line {number}"
            yield where, json_mapping(line, where)
