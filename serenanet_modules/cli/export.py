"""``serenanet export``."""

from serenanet_modules.cli.opening import add_run
from serenanet_modules.cli.values import add_out, place, whole
from serenanet_modules.errors import UserError
from serenanet_modules.runtime.precision import QUANTISATIONS


def add(commands, name):
    command = commands.add_parser(name, help="write a model as ONNX or TorchScript, and check the file")
    add_run(command)
    command.add_argument(
        "--to",
        required=True,
        choices=("onnx", "torchscript", "sherpa", "step"),
        help="sherpa: ONNX for sherpa-onnx; step: ONNX of one streaming step",
    )
    command.add_argument(
        "--look-ahead",
        type=whole,
        metavar="MS",
        help="with --to step: look-ahead in milliseconds, one that the model has",
    )
    command.add_argument("--quantize", choices=QUANTISATIONS[:1], help="a second ONNX file with weights of 8 bits too")
    add_out(command, "PATH", "a file, or a folder (RESULT_DIR/export)")
    command.add_argument(
        "--check", type=place, metavar="MANIFEST", help="print the error rates of the model and of the file on it"
    )
    command.set_defaults(run=_export)


def _export(arguments):
    from serenanet_modules.export.command import export, export_step
    from serenanet_modules.runtime.outputs import Outputs
    from serenanet_modules.runtime.threads import share_cores

    share_cores()
    outputs = Outputs("export", [arguments.folder, arguments.check], arguments.force)
    if arguments.to == "step":
        if arguments.quantize or arguments.check:
            raise UserError("--quantize and --check are for whole utterances; leave them out with --to step")
        export_step(arguments.folder, arguments.look_ahead, arguments.out, outputs=outputs)
        return 0
    if arguments.look_ahead is not None:
        raise UserError("--look-ahead: belongs to --to step; leave it out, or export --to step")
    small = arguments.quantize == "int8"
    export(arguments.folder, arguments.to, small, arguments.out, arguments.check, outputs=outputs)
    return 0
