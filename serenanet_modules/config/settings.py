"""What a type alone does not tell of a run's settings, checked before any long work; and its command line."""

import itertools
import json
from collections import defaultdict

import torch
from speechbrain.utils.run_opts import RunOptions

from serenanet_modules.config.carried import there
from serenanet_modules.config.hparams import Hparams
from serenanet_modules.config.keys import KEYS, SECTIONS, check_arguments, truth
from serenanet_modules.config.nodes import shown
from serenanet_modules.errors import UserError
from serenanet_modules.runtime.backend import check_backend, usable_device
from serenanet_modules.runtime.precision import check_precision
from serenanet_modules.runtime.reproducible import check_reproducible

RUN_OPTIONS = {
    "device": "cpu, cuda, cuda:0, …; by default a GPU where there is one",
    "distributed_backend": "of several processes: nccl, or gloo on CPUs",
    "noprogressbar": "no progress bars",
    "tqdm_colored_bar": "coloured progress bars",
}
USAGE = """\
usage: {script} FILE [FILE …] [--key value …]

Train, or go on in the result folder, then evaluate. The first FILE is a model, hparams/<model>.yaml. Each further one
is laid over those before it: a size, hparams/sizes/<model>/<size>.yaml; a machine, hparams/machine/cpu.yaml,
one_gpu.yaml or slurm.yaml; an ablation, hparams/ablations/*.yaml; or a file of your own. The command line comes last:

  --key value          any key of the files: --lr 0.0005. Hyphens and underscores are the same
  --part.key value     inside a part: --encoder.n_layers 4
  --key                a switch is on: --length_normalisation; with a value, true or false, it is what that says
  --part '!include:frontends/conv2d.yaml'    another part, looked for beside the files

serenanet config FILE … [--key value …] prints the result, and which file says what.
"""


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
    for name, key in sorted(KEYS.items(), key=lambda item: "." in item[0]):  # what is inside may be made of others
        holder, _, inner = name.rpartition(".")
        values = plain.get(holder, {}) if holder else plain
        if inner in values:
            key.check(values[inner], where)


def check_parts(hparams, where):
    """Refuse arguments of parts that cannot be, before any part is built; see `check_arguments`.

    Parameters
    ----------
    hparams : Hparams
    where : Path
        The file that errors name.

    Raises
    ------
    UserError
    """
    check_arguments(hparams.arguments(), where)


def check_machine(plain, device, where):
    """Refuse a device that is not there, and a precision or a backend that it lacks."""
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"--device {device}: this machine has no usable GPU; leave the option out")
    if device:
        usable_device(device)
    on_gpu = device.startswith("cuda") or (not device and torch.cuda.is_available())
    device = (device or "cuda") if on_gpu else "cpu"
    for key in ("precision", "eval_precision"):
        check_precision(plain.get(key, "fp32"), device, plain.get("emulate_precision", False), f"{where}: '{key}'")
    if plain.get("reproducible"):
        check_reproducible(device)
    check_backend(device)


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
    hparams, overrides, options = read_layers(recipe, argv)
    return hparams.complete(), overrides, options


def read_layers(recipe, argv):
    """As `read_command_line`, with keys that may have no value yet, and ``recipe`` None for no recipe."""
    files = [there(file) for file in itertools.takewhile(lambda argument: not argument.startswith("-"), argv)]
    if not files:
        raise UserError("give a hyper-parameter file first, such as hparams/serenanet.yaml; --help says more")
    dataset = {} if recipe is None else {key: (recipe.file, value) for key, value in recipe.keys.items()}
    hparams = Hparams.load(files, dataset, {} if recipe is None else recipe.options, needs="brain")
    overrides, options = split_arguments(argv[len(files) :], hparams)
    return hparams.lay(overrides), overrides, options


def split_arguments(arguments, hparams):
    """Separate ``--key value`` pairs of the file from SpeechBrain's run options.

    A key of the file is the file's, also where SpeechBrain has an option of that name. Hyphens stand for underscores,
    and a switch without a value is on.

    Returns
    -------
    tuple
        (key, value) pairs, and a list of options for `speechbrain.parse_arguments`.
    """
    known = RunOptions().as_dict()
    overrides, options, several = [], [], defaultdict(list)
    for key, given in _given(arguments):
        if key in known and key not in hparams:
            options += _run_option(key, given, known[key])
        elif key in KEYS and KEYS[key].several and given:
            several[key] += given
        elif hparams.is_switch(key) and (on := _switch(given)) is not None:
            overrides.append((key, "true" if on else "false"))
        elif len(given) == 1:
            overrides.append((key, given[0]))
        else:
            raise UserError(f"the command line: '--{key}' needs one value, not {len(given)}")
    overrides += [(key, json.dumps(given) if len(given) > 1 else given[0]) for key, given in several.items()]
    return overrides, options


def _given(arguments):
    """(key with underscores, its values) of each ``--key``, ``--key value …`` or ``--key=value``."""
    waiting = list(arguments)
    while waiting:
        first = waiting.pop(0)
        if not first.startswith("--"):
            raise UserError(f"the command line: '{first}' does not belong to any --key")
        key, equals, value = first[2:].partition("=")
        given = [value] if equals else []
        while not equals and waiting and not waiting[0].startswith("--"):
            given.append(waiting.pop(0))
        yield key.replace("-", "_"), given


def _run_option(key, given, default):
    if key not in RUN_OPTIONS:
        raise UserError(
            f"the command line: '--{key}' of SpeechBrain is not supported here; {', '.join(RUN_OPTIONS)} are"
        )
    if not isinstance(default, bool):
        return [f"--{key}", *given]
    on = _switch(given)
    if on is None:
        raise UserError(f"the command line: '--{key}' must be true or false, not {' '.join(given)}")
    return [f"--{key}"] if on else []


def _switch(given):
    """What the values of a switch say; None where they say neither true nor false."""
    return truth(given[0]) if len(given) == 1 else None if given else True


def help_text(recipe, script):
    """What a recipe's train.py takes, for people.

    Parameters
    ----------
    recipe : Recipe
    script : str
        How train.py was called.
    """
    own = {**recipe.keys, **recipe.options}
    groups = {f"This recipe's own, {recipe.file}": {key: shown(value) for key, value in own.items()}}
    for section, keys in SECTIONS.items():
        groups[section] = {key.name: f"{key.meaning}; {key.values}" for key in keys}
    groups["Run options, which leave no trace in the result folder"] = RUN_OPTIONS
    lines = [USAGE.format(script=script), "Not every model has every key."]
    for title, group in groups.items():
        lines += ["", f"{title}:", *(f"  --{name:<36} {meaning}" for name, meaning in group.items())]
    return "\n".join(lines)
