"""``serenanet lm``."""

from serenanet_modules.cli.values import add_out, count, place
from serenanet_modules.errors import UserError
from serenanet_modules.runtime.amounts import counted


def add(commands, name):
    command = commands.add_parser(name, help="estimate an n-gram language model from text")
    command.add_argument(
        "texts",
        type=place,
        metavar="TEXT_FILE",
        nargs="+",
        help="UTF-8 text, one sentence a line; also compressed, .gz",
    )
    command.add_argument("--locale", required=True, help="language whose text rules are used, such as sw")
    command.add_argument(
        "--text-case", choices=("lower", "keep"), default="lower", help="capitals: lower, or keep them (lower)"
    )
    command.add_argument(
        "--punctuation",
        choices=("drop", "keep"),
        default="drop",
        help="keep: “word,” and “word” are two words (drop)",
    )
    command.add_argument(
        "--marks",
        choices=("drop", "keep"),
        default="drop",
        help="transcribers' marks, such as [laughs], as the recogniser has them (drop)",
    )
    add_out(command, "FILE", "the ARPA file to write", required=True)
    command.add_argument("--order", type=count, default=3, help="longest n-gram (3)")
    command.add_argument(
        "--tool", default="auto", metavar="auto|lmplz|irstlm|own", help="program that estimates it (auto)"
    )
    command.add_argument("--held-out", type=place, metavar="FILE", help="text to report the perplexity of")
    command.set_defaults(run=_lm)


def _lm(arguments):
    from serenanet_modules.data.sentences import read_sentences
    from serenanet_modules.data.text import Style, normaliser
    from serenanet_modules.decoding import arpa, ngram
    from serenanet_modules.runtime.outputs import Outputs

    outputs = Outputs("lm", [*arguments.texts, arguments.held_out], arguments.force)
    outputs.check(arguments.out)
    if arguments.out.suffix == ".gz":
        raise UserError(f"--out {arguments.out}: an ARPA file is plain text; give a name without .gz")
    normalise = normaliser(arguments.locale, Style.of(vars(arguments)))
    held_out = None if arguments.held_out is None else [*map(normalise, read_sentences([arguments.held_out]))]
    if held_out is not None and not any(map(str.split, held_out)):
        raise UserError(f"--held-out {arguments.held_out}: holds no words; give at least one sentence")
    lines = map(normalise, read_sentences(arguments.texts))
    tool = ngram.estimate(lines, arguments.order, arguments.out, arguments.tool)
    outputs.made(arguments.out)
    print(f"{arguments.out}: order {arguments.order}, made with {tool}")
    if held_out is not None:
        p = arpa.perplexity(arguments.out, held_out)
        print(f"{arguments.held_out}: perplexity {p.value:.2f}, {p.oov} of {counted(p.words, 'word')} unknown")
    return 0
