"""What commands that use a finished run share: how it is named, and opened."""

from serenanet_modules.cli.values import positive


def add_run(command):
    """RESULT_DIR."""
    command.add_argument("folder", metavar="RESULT_DIR", help="results/<dataset>/<experiment>/<seed> of a finished run")


def add_recogniser(command):
    """RESULT_DIR and ``--device``."""
    add_run(command)
    command.add_argument("--device", help="cpu, cuda, cuda:0, …; by default a GPU where there is one")


def add_decoding(command):
    """``--lm``, ``--context`` and ``--batch-seconds``."""
    command.add_argument(
        "--lm", metavar="PATH|auto", help="beam search with this language model, or with that of the run (auto)"
    )
    add_context(command)
    command.add_argument(
        "--batch-seconds", type=positive, default=120.0, metavar="S", help="padded audio read at a time (120)"
    )


def add_context(command):
    """``--context``."""
    command.add_argument(
        "--context", metavar="TEXT", help="names and words that may be said: for a speech LLM's prompt"
    )


def opened(arguments):
    """The `Recognizer` that `add_recogniser` asked for, on this process's cores."""
    from serenanet_modules.inference.recognizer import Recognizer
    from serenanet_modules.runtime.threads import best_device, share_cores

    share_cores()
    device = arguments.device or best_device()
    return Recognizer.from_folder(arguments.folder, device, getattr(arguments, "context", None))
