"""What commands that use a finished run share: how it is named, and opened."""

import sys
from argparse import SUPPRESS

from serenanet_modules.cli.values import add_switch, count, not_negative, place, positive, speakers, switch
from serenanet_modules.errors import UserError
from serenanet_modules.runtime.precision import KINDS, QUANTISATIONS

RULES = {
    "rule1_min_trailing_silence": "seconds of silence after which decoding starts anew if nothing was said (2.4)",
    "rule2_min_trailing_silence": "seconds of silence that end a sentence (1.2)",
    "rule3_min_utterance_length": "seconds after which a sentence is cut where it is quietest (20, or less)",
}


def add_run(command):
    """RESULT_DIR."""
    command.add_argument(
        "folder", type=place, metavar="RESULT_DIR", help="results/<dataset>/<experiment>/<seed> of a finished run"
    )


def add_recogniser(command):
    """RESULT_DIR and what `add_device` adds."""
    add_run(command)
    add_device(command)


def add_device(command):
    """``--device`` and how it computes."""
    command.add_argument("--device", help="cpu, cuda, cuda:0, …; by default a GPU where there is one")
    command.add_argument("--eval-precision", default="fp32", metavar="NAME", help=f"{', '.join(KINDS)} (fp32)")
    add_switch(
        command, "--emulate-precision", "round as a GPU with tf32, fp8 or mx would, on any machine; for study, slow"
    )
    add_quantize(command)
    add_switch(command, "--reproducible", "bitwise the same output in every run; one thread, no batches")


def add_quantize(command, more=""):
    """``--quantize``; ``more`` is said of it."""
    command.add_argument(
        "--quantize",
        choices=QUANTISATIONS,
        help="int8: linear layers of 8 bits, on a CPU, faster, nearly as exact; nf4, or int4 on a GPU: a speech LLM's "
        f"language model in 4, smaller{more}",
    )


def add_lm(command):
    """``--lm`` and its weights."""
    command.add_argument(
        "--lm", metavar="PATH|auto", help="beam search with this language model, or with that of the run (auto)"
    )
    for name, what in {
        "--lm-weight": "weight of its log-probability",
        "--word-score": "bonus for each word",
    }.items():
        command.add_argument(name, type=_weight, metavar="N|auto", help=f"{what} (auto: what is best on dev)")


def _weight(text):
    """A number from 0, or None for auto."""
    return None if text == "auto" else not_negative(text)


def add_wishes(command, nbest):
    """``--hotwords``, their weight, ``--digits`` and, if ``nbest`` says what the texts are for, ``--nbest``."""
    command.add_argument(
        "--hotwords",
        metavar="FILE|WORD,…",
        help="expected words and phrases: comma-separated, or a file with one a line",
    )
    command.add_argument(
        "--hotword-weight", type=positive, metavar="N", help="bonus for each of their letters, in nats (0.5)"
    )
    add_switch(command, "--digits", "numbers as digits (sw, en)")
    if nbest:
        command.add_argument("--nbest", type=count, default=1, metavar="N", help=f"{nbest} (1)")


def add_decoding(command, nbest=None):
    """``--lm``, ``--context``, ``--batch-seconds``, ``--beam-size``, ``--jobs`` and what `add_wishes` adds."""
    add_lm(command)
    add_context(command)
    add_wishes(command, nbest)
    command.add_argument(
        "--batch-seconds", type=positive, default=120.0, metavar="S", help="audio in a batch, with padding (120)"
    )
    command.add_argument(
        "--beam-size", type=count, metavar="N", help="beam of an attention decoder, or of a speech LLM"
    )
    command.add_argument("--jobs", type=count, default=1, metavar="N", help="threads of a CTC beam search (1)")


def add_spoken(command):
    """``--language`` and ``--task``."""
    command.add_argument(
        "--language",
        metavar="CODE|auto",
        help="the spoken language, such as sw, for a Whisper (auto: detected) or a model that has language tokens",
    )
    command.add_argument(
        "--task", choices=("transcribe", "translate"), help="Whisper only; translate writes English (transcribe)"
    )


def add_speakers(command):
    """``--speakers``."""
    command.add_argument(
        "--speakers",
        type=speakers,
        metavar="N|auto",
        help="label N speakers, or as many as are found (auto); needs resemblyzer",
    )


def add_context(command):
    """``--context``."""
    command.add_argument("--context", metavar="TEXT", help="for a speech LLM's prompt: names and words that may occur")


def add_rules(command):
    """What ends a sentence of a stream, by sherpa-onnx's names."""
    group = command.add_argument_group("end of a sentence")
    group.add_argument(
        "--enable-endpoint-detection",
        type=switch,
        default=True,
        metavar="true|false",
        help="end sentences at silence (true), else cut as `serenanet transcribe` does",
    )
    for name, helped in RULES.items():
        group.add_argument(f"--{name.replace('_', '-')}", type=positive, default=SUPPRESS, metavar="S", help=helped)


def rules(arguments):
    """The `Rules` that `add_rules` asked for."""
    from serenanet_modules.inference.endpointing import NONE, Rules

    given = Rules(**{name: getattr(arguments, name) for name in RULES if hasattr(arguments, name)})
    return given if arguments.enable_endpoint_detection else NONE


def opened(arguments):
    """The `Recognizer` that these options ask for, on this process's cores."""
    import torch

    from serenanet_modules.inference.recognizer import Recognizer
    from serenanet_modules.runtime.threads import best_device, share_cores

    share_cores()
    asked = {name: getattr(arguments, name, None) for name in ("context", "language", "task", "beam_size", "locale")}
    if arguments.eval_precision not in KINDS:
        raise UserError(f"--eval-precision: must be one of {', '.join(KINDS)}, not {arguments.eval_precision}")
    if arguments.reproducible:
        torch.set_num_threads(1)
    computing = {"precision": arguments.eval_precision, "emulated": arguments.emulate_precision}
    computing |= {"quantize": arguments.quantize, "alone": arguments.reproducible}
    recognizer = Recognizer.from_folder(
        arguments.folder, arguments.device or best_device(), computing=computing, **asked
    )
    return recognizer.wishing(**_wishes(arguments, recognizer.run.spelling))


def warn_unsure(recognizer, folder):
    """Say on the standard error output that times and confidences mean nothing, where they do not."""
    if recognizer.unsure:
        print(f"warning: {folder}: {recognizer.unsure}; take another model where they count", file=sys.stderr)


def _wishes(arguments, spelling):
    """The `Wishes` that `add_wishes` asked for, by name."""
    wishes = {name: getattr(arguments, name, usual) for name, usual in {"nbest": 1, "digits": False, "jobs": 1}.items()}
    wishes |= {name: getattr(arguments, name, None) for name in ("lm_weight", "word_score")}
    if not getattr(arguments, "lm", None) and (wishes["lm_weight"], wishes["word_score"]) != (None, None):
        raise UserError("--lm-weight and --word-score weigh a language model; name one with --lm")
    if getattr(arguments, "hotwords", None) is not None:
        from serenanet_modules.inference.hotwords import WEIGHT, read_hotwords

        words = read_hotwords(arguments.hotwords, spelling, arguments.hotword_weight or WEIGHT)
        wishes["hotwords"] = tuple(words.items())
    elif getattr(arguments, "hotword_weight", None) is not None:
        raise UserError("--hotword-weight: needs --hotwords; give some, or leave it out")
    return wishes
