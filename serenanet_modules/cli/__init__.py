"""The command ``serenanet``: one module a command, whose ``add(commands, name)`` describes it.

What a command needs is imported when it runs: help must not wait for torch.
"""

import argparse
import difflib
import importlib
import shlex
import sys

from serenanet_modules import __version__
from serenanet_modules.cli.values import switch
from serenanet_modules.config.keys import truth
from serenanet_modules.errors import UserError
from serenanet_modules.runtime.ending import status_of

COMMANDS = (
    *("train", "config", "validate", "tiers", "transcribe", "stream", "align", "evaluate", "export"),
    *("serve", "ablate", "report", "compare", "benchmark", "languages", "lm", "synthesise", "pseudo-label"),
    *("adapt", "rank", "push", "recipe", "download", "demo"),
)


def main(argv=None):
    """Run a command line.

    Parameters
    ----------
    argv : list of str, optional
        Without the program's name; by default the process's own.

    Returns
    -------
    int
        The exit status: 0, 1 where some files could not be transcribed, or as of `runtime.ending.status_of`.
    """
    argv = sys.argv[1:] if argv is None else argv
    return status_of(lambda: _run(argv))


def _run(argv):
    _check_command(argv)
    parser = _parser()
    arguments, arguments.more = parser.parse_known_args(argv)
    if arguments.more and not getattr(arguments, "takes_more", False):
        parser.error(f"unrecognized arguments: {' '.join(arguments.more)}")
    arguments.line = shlex.join(["serenanet", *argv])
    return arguments.run(arguments)


def _check_command(argv):
    """Refuse a command that does not exist, and guess which was meant."""
    if argv and not argv[0].startswith("-") and argv[0] not in COMMANDS:
        close = difflib.get_close_matches(argv[0], COMMANDS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"choose from {', '.join(COMMANDS)}"
        raise UserError(f"there is no command {argv[0]!r}; {hint}")


class _Parser(argparse.ArgumentParser):
    """An ArgumentParser whose complaints are one sentence, and to which ``--a_b`` is ``--a-b``.

    A switch takes the next word only where that is true or false: any other is an argument of the command.
    """

    def parse_known_args(self, args=None, namespace=None):
        end = args.index("--") if "--" in args else len(args)
        return super().parse_known_args([*self._spelled(list(args[:end])), *args[end:]], namespace)

    def _spelled(self, words):
        known = self._option_string_actions
        while words:
            name, equals, value = words.pop(0).partition("=")
            hyphened = name.replace("_", "-")
            meant = [hyphened] if hyphened in known else [option for option in known if option.startswith(hyphened)]
            if name.startswith("--") and len(meant) == 1:
                name = meant[0]
            if not equals and name in known and known[name].type is switch:
                equals, value = "=", words.pop(0) if words and truth(words[0]) is not None else "true"
            yield name + equals + value

    def _get_value(self, action, text):
        """As the parent's, which asks about defaults too; an empty word is no option's value."""
        if not text and action.option_strings and text != action.default:
            raise argparse.ArgumentError(action, "is empty; give a value, or leave it out")
        return super()._get_value(action, text)

    def _print_message(self, message, file=None):
        """As the parent's, which hides that a help could not be written."""
        print(message, end="", file=file)

    def error(self, message):
        raise UserError(f"{message}; see {self.prog} --help")


def _parser():
    parser = _Parser(prog="serenanet", description="Train and use speech recognisers for languages with little data.")
    parser.add_argument("--version", action="version", version=f"serenanet {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="{" + ",".join(COMMANDS) + "}")
    for name in COMMANDS:
        importlib.import_module(f"{__name__}.{name.replace('-', '_')}").add(commands, name)
    return parser
