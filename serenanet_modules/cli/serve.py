"""``serenanet serve``."""

import os
import sys
from argparse import SUPPRESS, Namespace
from dataclasses import fields
from pathlib import Path

from serenanet_modules.cli.opening import (
    add_context,
    add_device,
    add_lm,
    add_rules,
    add_spoken,
    add_wishes,
    opened,
    rules,
    warn_unsure,
)
from serenanet_modules.cli.values import count, place, positive
from serenanet_modules.errors import UserError

TOKEN = "SERENANET_TOKEN"  # environment variable: where others can list the processes, arguments are no secret


def add(commands, name):
    command = commands.add_parser(name, help="start a server: web page, OpenAI's transcription API, live audio")
    command.add_argument(
        "models",
        nargs="+",
        type=place,
        metavar="[NAME=]RESULT_DIR",
        help="results/<dataset>/<experiment>/<seed> of finished runs, the usual one first; they are called after their "
        "experiments, or NAME",
    )
    add_device(command)
    command.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1: this machine only)")
    command.add_argument("--port", type=int, default=8000, help="port (8000); 0 takes a free one")
    command.add_argument(
        "--token", default=os.environ.get(TOKEN), help=f"what clients must send as bearer token; by default ${TOKEN}"
    )
    command.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name under which browsers may reach a server without a token, besides this machine's (any number)",
    )
    command.add_argument("--root-path", default="", metavar="/PATH", help="path under which a proxy serves this server")
    command.add_argument(
        "--corrections",
        type=Path,
        metavar="FOLDER",
        help="save the page's corrections and their audio here, for serenanet adapt (nothing is saved)",
    )
    command.add_argument("--log", choices=("text", "json"), default="text", help="format of the log (text)")
    add_lm(command)
    add_context(command)
    add_wishes(command, None)
    add_spoken(command)
    _add_limits(command)
    add_rules(command)
    command.set_defaults(run=_serve)


def _add_limits(command):
    limits = command.add_argument_group("batches and limits", argument_default=SUPPRESS)
    limits.add_argument("--batch-seconds", type=positive, metavar="S", help="audio in a batch, with padding (120)")
    limits.add_argument(
        "--batch-wait",
        type=lambda text: positive(text) / 1000,
        metavar="MS",
        help="wait for more requests before a batch (5)",
    )
    limits.add_argument(
        "--max-upload",
        type=_megabytes,
        dest="max_upload_bytes",
        metavar="MB",
        help="largest request, in MB (an eighth of what is free on the disk)",
    )
    limits.add_argument("--max-seconds", type=positive, metavar="S", help="longest recording, in seconds (14400)")
    limits.add_argument("--max-queue", type=count, metavar="N", help="transcriptions at a time (64)")
    limits.add_argument(
        "--timeout",
        type=positive,
        metavar="S",
        help="time limit of a request, beyond the length of the audio in the queue (300)",
    )
    limits.add_argument("--max-live", type=count, metavar="N", help="live sessions at a time (4)")
    limits.add_argument(
        "--idle",
        type=positive,
        dest="idle_seconds",
        metavar="S",
        help="end a live session that sends nothing for so long (30)",
    )


def _serve(arguments):
    try:
        from serenanet_modules.server import observed, run
        from serenanet_modules.server.app import make_app
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed; the server needs `pip install 'serenanet[serve]'`") from None

    options, folders = _options(arguments), _named(arguments.models)
    listener = run.listen(arguments.host, arguments.port)
    recognizers = {name: opened(Namespace(**vars(arguments) | {"folder": folder})) for name, folder in folders.items()}
    for name, folder in folders.items():
        warn_unsure(recognizers[name], folder)
    app = make_app(recognizers, options)
    address = f"http://{arguments.host}:{listener.getsockname()[1]}"
    if options.token is None and not run.is_loopback(arguments.host):
        print(f"warning: whoever reaches {address} may use this server; --token asks for one", file=sys.stderr)
    print(f"{', '.join(folders)} at {address} (page /, API /docs); Ctrl-C ends it", flush=True)
    observed.log_to_stderr(arguments.log)
    run.serve(app, listener)
    return 0


def _options(arguments):
    """`Options`, whose own defaults stand for limits that were not given."""
    from serenanet_modules.server.options import Options

    given = {field.name: getattr(arguments, field.name) for field in fields(Options) if hasattr(arguments, field.name)}
    return Options(**given | {"hosts": tuple(arguments.allow_host), "rules": rules(arguments)})


def _megabytes(text):
    return int(positive(text) * 2**20)


def _named(models):
    """The folders by their models' names."""
    found = {}
    for given in map(str, models):
        name, sign, folder = given.partition("=")
        if not sign or os.path.exists(given):
            name, folder = _name(given), given
        if not name or name in found:
            told = "another model has the same name" if name else "has no name"
            raise UserError(f"{given}: {told}; give NAME=RESULT_DIR")
        found[name] = Path(folder)
    return found


def _name(folder):
    """The experiment of ``results/<dataset>/<experiment>/<seed>``, else the folder's own name."""
    path = Path(folder).resolve()
    return path.parent.name if path.name.isdigit() else path.name
