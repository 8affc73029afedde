"""``serenanet serve``."""

import os
import sys

from serenanet_modules.cli.values import count, positive
from serenanet_modules.errors import UserError

TOKEN = "SERENANET_TOKEN"  # environment variable: where others can list the processes, arguments are no secret


def add(commands, name):
    command = commands.add_parser(name, help="a server: OpenAI's transcription API, live audio, a page")
    command.add_argument("folder", metavar="RESULT_DIR", help="results/<dataset>/<experiment>/<seed> of a finished run")
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
    command.add_argument("--lm", metavar="PATH|auto", help="as `serenanet transcribe` takes it")
    command.add_argument("--device", help="cpu, cuda, cuda:0, …; by default a GPU where there is one")
    limits = command.add_argument_group("batches and limits")
    limits.add_argument(
        "--batch-seconds", type=positive, default=120.0, metavar="S", help="padded audio read at a time (120)"
    )
    limits.add_argument("--batch-wait", type=positive, default=5.0, metavar="MS", help="wait for company (5)")
    limits.add_argument("--max-upload", type=positive, default=25.0, metavar="MB", help="of a request (25)")
    limits.add_argument("--max-seconds", type=positive, default=1800.0, metavar="S", help="of a recording (1800)")
    limits.add_argument("--max-queue", type=count, default=64, metavar="N", help="transcriptions at a time (64)")
    limits.add_argument("--timeout", type=positive, default=300.0, metavar="S", help="for a transcription (300)")
    limits.add_argument("--max-live", type=count, default=4, metavar="N", help="live sessions at a time (4)")
    limits.add_argument(
        "--idle", type=positive, default=30.0, metavar="S", help="that a live session may be silent (30)"
    )
    command.set_defaults(run=_serve)


def _serve(arguments):
    try:
        from serenanet_modules.server import run
        from serenanet_modules.server.app import make_app
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed; the server needs `pip install 'serenanet[serve]'`") from None
    import torch

    from serenanet_modules.inference.recognizer import Recognizer
    from serenanet_modules.runtime.threads import share_cores

    options = _options(arguments)
    listener = run.listen(arguments.host, arguments.port)
    share_cores()
    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    app = make_app(Recognizer.from_folder(arguments.folder, device), options)
    address = f"http://{arguments.host}:{listener.getsockname()[1]}"
    if options.token is None and not run.is_loopback(arguments.host):
        print(f"warning: whoever reaches {address} may use this server; --token asks for one", file=sys.stderr)
    print(f"{options.name} at {address} (page /, API /docs); Ctrl-C ends it", flush=True)
    run.serve(app, listener)
    return 0


def _options(arguments):
    from serenanet_modules.server.options import Options

    return Options(
        name=arguments.name or _name(arguments.folder),
        token=arguments.token,
        hosts=tuple(arguments.allow_host),
        lm=arguments.lm,
        batch_seconds=arguments.batch_seconds,
        batch_wait=arguments.batch_wait / 1000,
        max_upload_bytes=int(arguments.max_upload * 2**20),
        max_seconds=arguments.max_seconds,
        max_queue=arguments.max_queue,
        timeout=arguments.timeout,
        max_live=arguments.max_live,
        idle_seconds=arguments.idle,
    )


def _name(folder):
    """The experiment of ``results/<dataset>/<experiment>/<seed>``, else the folder's own name."""
    from pathlib import Path

    path = Path(folder).resolve()
    return path.parent.name if path.name.isdigit() else path.name
