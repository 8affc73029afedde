"""``serenanet demo``."""


def add(commands, name):
    command = commands.add_parser(name, help="train, evaluate and transcribe on the embedded corpus")
    command.set_defaults(run=_demo)


def _demo(_):
    from serenanet_modules import demo

    demo.run()
    return 0
