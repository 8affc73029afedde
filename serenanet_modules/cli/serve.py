"""``serenanet serve``."""

import os
import sys
from argparse import SUPPRESS
from dataclasses import fields

from serenanet_modules.cli.opening import add_context, add_lm, add_recogniser, add_rules, opened, rules
from serenanet_modules.cli.values import count, positive
from serenanet_modules.errors import UserError

TOKEN = "SERENANET_TOKEN"  # environment variable: where others can list the processes, arguments are no secret


def add(commands, name):
    command = commands.add_parser(name, help="a server: OpenAI's transcription API, live audio, a page")
    add_recogniser(command)
    command.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1: this machine only)")
    command.add_argument("--port", type=int, default=8000, help="(8000); 0 takes a free one")
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
    command.add_argument("--name", help="what the model is called; by default its experiment")
    add_lm(command)
    add_context(command)
    limits = command.add_argument_group("batches and limits", argument_default=SUPPRESS)
    limits.add_argument("--batch-seconds", type=positive, metavar="S", help="padded audio read at a time (120)")
    limits.add_argument(
        "--batch-wait",
        type=lambda text: positive(text) / 1000,
        metavar="MS",
        help="wait for company, behind a batch of several (5)",
    )
    limits.add_argument(
        "--max-upload", type=_megabytes, dest="max_upload_bytes", metavar="MB", help="of a request (25)"
    )
    limits.add_argument("--max-seconds", type=positive, metavar="S", help="of a recording (1800)")
    limits.add_argument("--max-queue", type=count, metavar="N", help="transcriptions at a time (64)")
    limits.add_argument("--timeout", type=positive, metavar="S", help="for a transcription (300)")
    limits.add_argument("--max-live", type=count, metavar="N", help="live sessions at a time (4)")
    limits.add_argument(
        "--idle", type=positive, dest="idle_seconds", metavar="S", help="that a live session may be silent (30)"
    )
    add_rules(command)
    command.set_defaults(run=_serve)


def _serve(arguments):
    try:
        from serenanet_modules.server import run
        from serenanet_modules.server.app import make_app
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed; the server needs `pip install 'serenanet[serve]'`") from None

    options = _options(arguments)
    listener = run.listen(arguments.host, arguments.port)
    app = make_app(opened(arguments), options)
    address = f"http://{arguments.host}:{listener.getsockname()[1]}"
    if options.token is None and not run.is_loopback(arguments.host):
        print(f"warning: whoever reaches {address} may use this server; --token asks for one", file=sys.stderr)
    print(f"{options.name} at {address} (page /, API /docs); Ctrl-C ends it", flush=True)
    run.serve(app, listener)
    return 0


def _options(arguments):
    """`Options`, whose own defaults stand for limits that were not given."""
    from serenanet_modules.server.options import Options

    given = {field.name: getattr(arguments, field.name) for field in fields(Options) if hasattr(arguments, field.name)}
    name, hosts = arguments.name or _name(arguments.folder), tuple(arguments.allow_host)
    return Options(**given | {"name": name, "hosts": hosts, "rules": rules(arguments)})


def _megabytes(text):
    return int(positive(text) * 2**20)


def _name(folder):
    """The experiment of ``results/<dataset>/<experiment>/<seed>``, else the folder's own name."""
    from pathlib import Path

    path = Path(folder).resolve()
    return path.parent.name if path.name.isdigit() else path.name
