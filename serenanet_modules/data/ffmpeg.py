"""Audio that only the ffmpeg program reads: the containers of phones, browsers and cameras."""

import contextlib
import os
import re
import shutil
import struct
import subprocess
import tempfile

import numpy as np

MAGIC = {  # how files begin that libsndfile does not know: offset, bytes
    "mp4": (4, b"ftyp"),
    "webm or matroska": (0, b"\x1aE\xdf\xa3"),
    "wma": (0, b"0&\xb2u"),
    "amr": (0, b"#!AMR"),
    "aac": (0, b"\xff\xf1"),
    "aac, MPEG-2": (0, b"\xff\xf9"),
    "avi": (8, b"AVI "),
}
PROGRAM_STREAM = b"\0\0\1\xba"  # MPEG's, how it begins
SYNC, PACKETS = b"G", ((0, 188), (4, 192))  # what packets of a transport stream begin with; offset and distance, bytes
BEGINNING = 600  # bytes that tell


NO_AUDIO = "matches no streams"  # what ffmpeg says where there are pictures only


class FFmpegError(Exception):
    """What ffmpeg said, or that it is not there."""


def needed(data):
    """Whether bytes (`BEGINNING` are enough) begin a file that ffmpeg has to read."""
    return _in_packets(data) or any(data[at : at + len(magic)] == magic for at, magic in MAGIC.values())


def _in_packets(data):
    """Whether it is a stream of MPEG's, of programs or for transport."""
    transport = any(all(data[i : i + 1] == SYNC for i in range(at, at + 3 * step, step)) for at, step in PACKETS)
    return transport or data[: len(PROGRAM_STREAM)] == PROGRAM_STREAM


AS_PLAYED = "aresample=async=1:first_pts=0"  # fills holes by silence, stretches nothing
MOST_TRACKS = 1000
LONG, LEAST = 6 * 3600, 20  # seconds of sound behind which a file must have so many bytes for each of them
FORMATS = "mov,matroska,asf,amr,aac,avi,mpeg,mpegts"  # those of `MAGIC` to ffmpeg; some that it knows read other files
GUARDS = ("-protocol_whitelist", "file", "-format_whitelist", FORMATS)
DEFAULT = "default"


def read(path, size, track=None):
    """Decode an audio stream of a file in pieces, by default the first.

    The container's times count, as they do in a player: before a sound track that begins later than the picture, and
    where time stamps have a hole, there is silence.

    Parameters
    ----------
    path : Path
    size : callable
        (rate in Hz, channels) -> samples of each channel in a piece.
    track : str, optional
        A number from 1, the code of a language such as ``swa``, or ``default``: the one that the container says a
        player should take, which is the first where it says none.

    Returns
    -------
    int, iterator of numpy.ndarray
        The rate in Hz, and pieces (N, channels) float32.

    Raises
    ------
    FFmpegError
        At once or, for what is wrong inside the file, while the pieces are read.
    """
    if not shutil.which("ffmpeg"):
        raise FFmpegError("its format needs ffmpeg, which is not installed")
    pieces = _decode(path, size, _stream(path, track or "1"), "audio" if track is None else f"sound track {track}")
    return next(pieces), pieces


def _stream(path, track):
    """ffmpeg's name of a sound track."""
    if track == DEFAULT:
        track = str(1 + _default(path))
    if track.isdecimal() and 0 < int(track) < MOST_TRACKS:
        return f"0:a:{int(track) - 1}"
    if re.fullmatch("[A-Za-z]{2,3}", track):
        return f"0:a:m:language:{track.lower()}"
    raise FFmpegError(f"a track is a number from 1, the code of a language or {DEFAULT}, not {track}")


def _default(path):
    """The number, from 0, of the sound track that a container says is to be played."""
    said = _asked(path, f"--track {DEFAULT}", "-select_streams", "a", "-show_entries", "stream_disposition=default")
    return said.index(b"1") if b"1" in said else 0


def _late(path, stream):
    """Seconds by which a sound track begins after its container, which ffmpeg drops in streams of MPEG's packets."""
    with open(path, "rb") as file:
        if not _in_packets(file.read(BEGINNING)):
            return 0.0
    shown = "stream=start_time:format=start_time"
    said = _asked(path, "a recording of a camera", "-select_streams", stream[2:], "-show_entries", shown)
    times = [float(time) for time in said if re.fullmatch(rb"-?\d+(\.\d+)?", time)]
    return max(0.0, times[0] - times[-1]) if times else 0.0  # of the track, and last of the container


def _asked(path, what, *options):
    """What ffprobe says of a file, for ``what``."""
    command = ["ffprobe", "-v", "error", *GUARDS, *options, "-of", "csv=p=0", f"file:{path}"]
    try:
        return subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL).stdout.split()
    except OSError:
        raise FFmpegError(f"{what} needs ffprobe, which comes with ffmpeg") from None


def _decode(path, size, stream, what):
    """Yield the rate, then the pieces of a stream; ``what`` it is."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-xerror"]
    command += [*GUARDS, "-i", f"file:{path}"]
    filters = f"asetpts=PTS+{late}/TB,{AS_PLAYED}" if (late := _late(path, stream)) else AS_PLAYED
    command += ["-map", stream, "-af", filters, "-c:a", "pcm_f32le", "-f", "wav", "-"]
    with contextlib.ExitStack() as stack:
        errors = stack.enter_context(tempfile.TemporaryFile())
        process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors))
        stack.callback(process.kill)  # a reader may stop before the end
        header = _wav_format(process.stdout)
        if header is not None:
            channels, rate = header
            yield rate
            frame, heard = 4 * channels, 0  # bytes
            while block := process.stdout.read(frame * size(rate, channels)):
                heard += len(block) / frame / rate
                if heard > LONG and os.path.getsize(path) < LEAST * heard:
                    raise FFmpegError(
                        f"its time stamps jump by hours: {LONG / 3600:.0f} h in so small a file; convert it again"
                    )
                yield np.frombuffer(block[: len(block) // frame * frame], np.float32).reshape(-1, channels)
        if process.wait() or header is None:
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip().splitlines()
            last = re.sub(r" @ 0x[0-9a-f]+", "", " ".join(said[-1:])).replace(f"file:{path}: ", "")
            # neither addresses nor names of files, which a server would tell
            raise FFmpegError(f"it has no {what}" if NO_AUDIO in " ".join(said) else f"ffmpeg: {last}")


def _wav_format(stream):
    """(channels, rate) of a wav stream, which is read up to its samples; None where there is none."""
    if stream.read(12)[8:] != b"WAVE":
        return None
    found = None
    while len(chunk := stream.read(8)) == 8:
        name, size = struct.unpack("<4sI", chunk)
        if name == b"data":
            return found
        content = stream.read(size + size % 2)
        if name == b"fmt ":
            found = struct.unpack_from("<HI", content, 2)
    return None
