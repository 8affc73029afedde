"""``serenanet stream``."""

import sys

from serenanet_modules.cli.opening import add_lm, add_recogniser, add_rules, add_wishes, opened, rules
from serenanet_modules.cli.values import positive
from serenanet_modules.errors import UserError

FORMATS = ("txt", "json", "srt", "vtt", "tsv", "ctm")


def add(commands, name):
    command = commands.add_parser(name, help="transcribe while somebody speaks, with a model that streams")
    add_recogniser(command)
    command.add_argument(
        "source",
        metavar="FILE|microphone|-",
        nargs="?",
        default="microphone",
        help="audio of any kind, the microphone until Ctrl-C (default), or - for raw 16-bit samples at 16 kHz on stdin",
    )
    command.add_argument(
        "--format",
        choices=FORMATS,
        default="txt",
        help="what to write of each sentence (txt); json also has the unfinished one",
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
    add_lm(command)
    add_wishes(command, "json, tsv: the N best hypotheses of a sentence; json has alternatives for each word, too")
    add_rules(command)
    command.set_defaults(run=_stream)


def _stream(arguments):
    """Sentences to stdout, latency to stderr at the end; Ctrl-C ends the sound, not the command."""
    from serenanet_modules.inference.endpointing import LiveStream
    from serenanet_modules.inference.formats import Growing
    from serenanet_modules.inference.live import chunks

    if arguments.nbest > 1 and arguments.format not in ("json", "tsv"):
        raise UserError(f"--nbest {arguments.nbest}: only json and tsv hold several hypotheses; give --format json")
    live = LiveStream(opened(arguments), rules(arguments), arguments.look_ahead, arguments.lm)
    if arguments.format == "txt" and sys.stdout.isatty():
        screen = _Line()
    else:
        screen = _Lines(Growing(arguments.format, arguments.source, arguments.nbest))
    try:
        for samples in chunks(arguments.source, arguments.chunk_ms / 1000):
            for sentence in live.feed(samples):
                screen.end(sentence)
            screen.show(live.text)
    except KeyboardInterrupt:
        pass
    finally:  # whatever has ended the sound, what was heard is said
        for sentence in live.finish():
            screen.end(sentence)
        screen.show(live.text)  # the last sentence may have no text once it is read whole
    print(live.latency, file=sys.stderr)
    return 0


class _Lines:
    """What a program reads."""

    def __init__(self, writer):
        self._writer = writer
        self._write(writer.head)

    def show(self, text):
        self._write(self._writer.partial(text))

    def end(self, sentence):
        self._write(self._writer.final(sentence))

    def _write(self, text):
        if text:
            print(text, end="", flush=True)


class _Line:
    """The open sentence in one line of a terminal, written anew; of one too long for it, the end."""

    def __init__(self):
        self._shown = ""

    def show(self, text):
        import shutil

        shown = _tail(text, shutil.get_terminal_size().columns - 1)
        if shown != self._shown:
            print(f"\r\033[K{shown}", end="", flush=True)
        self._shown = shown

    def end(self, sentence):
        print(f"\r\033[K{sentence.text}", flush=True)
        self._shown = ""


def _tail(text, width):
    """A text, or as much of its end as so many columns hold, behind an ellipsis.

    Examples
    --------
    >>> _tail("habari", 6), _tail("habari", 5), _tail("語語語", 5)
    ('habari', '…bari', '…語語')
    """
    from itertools import accumulate

    from serenanet_modules.analysis.scoring import display_width

    if display_width(text) <= width:
        return text
    taken = sum(used < width for used in accumulate(display_width(letter) for letter in reversed(text)))
    end = text[len(text) - taken :]
    while end and not display_width(end[0]):  # a mark whose letter is cut off
        end = end[1:]
    return f"…{end}"
