"""``serenanet export``."""

from serenanet_modules.cli.opening import add_run
from serenanet_modules.cli.values import add_switch


def add(commands, name):
    command = commands.add_parser(name, help="write a model as ONNX or TorchScript, and check the file")
    add_run(command)
    command.add_argument(
        "--to", required=True, choices=("onnx", "torchscript", "sherpa"), help="sherpa is ONNX for sherpa-onnx"
    )
    add_switch(command, "--int8", "a second ONNX file with weights of 8 bits too")
    command.add_argument("--out", metavar="PATH", help="a file, or a folder (RESULT_DIR/export)")
    command.add_argument("--check", metavar="MANIFEST", help="print the error rates of the model and of the file on it")
    command.set_defaults(run=_export)


def _export(arguments):
    from serenanet_modules.export.command import export
    from serenanet_modules.runtime.threads import share_cores

    share_cores()
    export(arguments.folder, arguments.to, arguments.int8, arguments.out, arguments.check)
    return 0
