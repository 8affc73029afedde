"""``serenanet stream``."""

import sys

from serenanet_modules.cli.opening import add_recogniser, opened
from serenanet_modules.cli.values import positive
from serenanet_modules.errors import UserError


def add(commands, name):
    command = commands.add_parser(name, help="print text while it is being spoken, by a causal model")
    add_recogniser(command)
    command.add_argument(
        "source",
        metavar="FILE|microphone|-",
        nargs="?",
        default="microphone",
        help="audio of any kind, the microphone until Ctrl-C (default), or - for raw 16-bit samples at 16 kHz on stdin",
    )
    command.add_argument(
        "--chunk-ms", type=positive, default=200.0, metavar="N", help="milliseconds that are read at a time (200)"
    )
    command.add_argument(
        "--look-ahead",
        type=int,
        metavar="MS",
        help="milliseconds, of models that were trained with several look-aheads",
    )
    command.set_defaults(run=_stream)


def _stream(arguments):
    """Text to stdout as it grows, latency to stderr at the end; Ctrl-C ends the sound, not the command."""
    from serenanet_modules.inference.live import chunks
    from serenanet_modules.inference.streaming import Streamer

    streamer = Streamer(opened(arguments), arguments.look_ahead)
    screen = _Line() if sys.stdout.isatty() else _Log()
    try:
        for samples in chunks(arguments.source, arguments.chunk_ms / 1000):
            screen.show(streamer.feed(samples))
    except KeyboardInterrupt:
        pass
    except UserError:
        if streamer.text:  # what was heard before is said
            screen.end(streamer.finish().text)
        raise
    screen.end(streamer.finish().text)
    print(streamer.latency, file=sys.stderr)
    return 0


class _Log:
    """A line for each text that differs from the one before; the last line is the final text."""

    def __init__(self):
        self._last = ""

    def show(self, text):
        if text != self._last:
            print(text, flush=True)
            self._last = text

    def end(self, text):
        if text != self._last or not text:
            print(text, flush=True)


class _Line:
    """One line of a terminal, written anew; a text too long for it shows its end."""

    def show(self, text):
        import shutil

        width = shutil.get_terminal_size().columns - 1
        shown = text if len(text) <= width else "…" + text[1 - width :]
        print(f"\r\033[K{shown}", end="", flush=True)

    def end(self, text):
        print(f"\r\033[K{text}", flush=True)
