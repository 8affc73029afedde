"""What a type alone does not tell of a run's settings, checked before any long work; and its command line."""

import itertools
import json
from collections import defaultdict

import torch
from speechbrain.utils.run_opts import RunOptions

from serenanet_modules.config.hparams import Hparams
from serenanet_modules.errors import UserError
from serenanet_modules.runtime.backend import check_backend

CHOICES = (
    ("precision", ("fp32", "bf16", "fp16")),
    ("scoring", ("decoder", "car", "average")),
    ("units", ("char", "bpe", "unigram", "phoneme")),
    ("targets", ("acoustic", "phoneme_seeded")),
)
LEAST = {  # smallest value that makes sense
    "number_of_epochs": 1,
    "grad_accumulation_factor": 1,
    "checkpoints_to_average": 1,
    "max_batch_seconds": 1,
    "num_workers": 0,
    "early_stopping_patience": 0,
    "nonfinite_patience": 0,
    "warmup_steps": 0,
    "weight_decay": 0,
    "beam_size": 0,
    "attention_beam_size": 0,
    "lm_order": 2,
    "lr": 0,
    "pessl_weight": 0,
    "n_clusters": 2,
    "cluster_frames": 1,
    "iteration": 1,
}
NUMBERS = ("lm_weight", "word_score", "decoding_ctc_weight")  # or null
WHOLE_NUMBERS = ("n_units", "cluster_layer")  # or null
SEVERAL = ("data_folder", "text")  # keys whose values make a list: --data_folder A B, or --data_folder of each
RUN_OPTIONS = ("device", "distributed_backend", "eval_precision", "noprogressbar", "tqdm_colored_bar")


def check_values(plain, where):
    """Refuse values of the right type that cannot be.

    Parameters
    ----------
    plain : dict
        `Hparams.plain`.
    where : Path
        The file that errors name.

    Raises
    ------
    UserError
    """
    for key, choices in CHOICES:
        if key in plain and plain[key] not in choices:
            raise UserError(f"{where}: '{key}' must be one of {', '.join(choices)}, not {plain[key]}")
    for key, least in LEAST.items():
        if key in plain and plain[key] < least:
            raise UserError(f"{where}: '{key}' must be at least {least}, not {plain[key]}")
    if not plain["max_grad_norm"] > 0:  # a negative one would turn every gradient round
        raise UserError(f"{where}: 'max_grad_norm' must be more than 0; a large number switches clipping off")
    for key in NUMBERS:
        if not isinstance(plain.get(key), int | float | None):
            raise UserError(f"{where}: '{key}' must be a number or null, not {plain[key]!r}")
    for key in WHOLE_NUMBERS:
        if not isinstance(plain.get(key), int | None):
            raise UserError(f"{where}: '{key}' must be a whole number or null, not {plain[key]!r}")
    preparation = plain.get("preparation", {"jobs": None})  # recipes of text alone prepare no audio
    for key, value in preparation.items():
        if not (isinstance(value, int | float) or (key == "jobs" and value is None)):
            raise UserError(f"{where}: 'preparation.{key}' must be a number, not {value!r}")
    jobs = preparation["jobs"]
    if jobs is not None and not (isinstance(jobs, int) and jobs >= 1):
        raise UserError(f"{where}: 'preparation.jobs' must be a whole number from 1 or null, not {jobs!r}")


def check_machine(plain, device, where):
    """Refuse a device that is not there, and a precision or a backend that it lacks."""
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"--device {device}: this machine has no usable GPU; leave the option out")
    on_gpu = device.startswith("cuda") or (not device and torch.cuda.is_available())
    if plain["precision"] == "fp16" and not on_gpu:
        raise UserError(f"{where}: 'precision' fp16 needs a GPU; use bf16 or fp32 on a CPU")
    check_backend("cuda" if on_gpu else "cpu")


def read_command_line(recipe, argv):
    """Read ``FILE [FILE …] [--key value …]`` as a recipe's train.py does.

    Parameters
    ----------
    recipe : Recipe
    argv : list of str

    Returns
    -------
    tuple
        `Hparams` with all keys set, the (key, value) pairs that set them, and options for
        `speechbrain.parse_arguments`.

    Raises
    ------
    UserError
    """
    files = list(itertools.takewhile(lambda argument: not argument.startswith("-"), argv))
    if not files:
        raise UserError("give a hyper-parameter file first, such as hparams/serenanet.yaml")
    hparams = Hparams.load(files, {k: (recipe.file, v) for k, v in recipe.keys.items()}, recipe.options)
    overrides, options = split_arguments(argv[len(files) :], hparams)
    return hparams.override(overrides), overrides, options


def split_arguments(arguments, hparams):
    """Separate ``--key value`` pairs of the file from SpeechBrain's run options.

    A key of the file is the file's, also where SpeechBrain has an option of that name.

    Returns
    -------
    tuple
        (key, value) pairs, and a list of options for `speechbrain.parse_arguments`.
    """
    known = set(RunOptions().as_dict())
    overrides, options, several = [], [], defaultdict(list)
    waiting = list(arguments)
    while waiting:
        first = waiting.pop(0)
        if not first.startswith("--"):
            raise UserError(f"the command line: '{first}' does not belong to any --key")
        key, equals, value = first[2:].partition("=")
        given = [value] if equals else []
        while not equals and waiting and not waiting[0].startswith("--"):
            given.append(waiting.pop(0))
        if key in known and key not in hparams:
            if key not in RUN_OPTIONS:
                raise UserError(
                    f"the command line: '--{key}' of SpeechBrain is not supported here; {', '.join(RUN_OPTIONS)} are"
                )
            options += [f"--{key}", *given]
        elif key in SEVERAL and given:
            several[key] += given
        elif len(given) == 1:
            overrides.append((key, given[0]))
        else:
            raise UserError(f"the command line: '--{key}' needs one value, not {len(given)}")
    overrides += [(key, json.dumps(given) if len(given) > 1 else given[0]) for key, given in several.items()]
    return overrides, options
