"""A result folder belongs to one run at a time, and to one set of settings for ever."""

import contextlib

from serenanet_modules.config.foreign import FILE, FORMAT, Document, check_format
from serenanet_modules.config.hparams import Hparams
from serenanet_modules.config.keys import free_to_change
from serenanet_modules.config.nodes import NAME
from serenanet_modules.config.reading import read_yaml
from serenanet_modules.errors import UserError
from serenanet_modules.runs.whole import renew
from serenanet_modules.runtime import distributed
from serenanet_modules.runtime.files import locked, sweep, write_text
from serenanet_modules.runtime.outputs import LIST

ENCODER_ASR = """
# What SpeechBrain's EncoderASR reads beside the model
modules:
    encoder: !new:serenanet_modules.runs.Encoder
        model: !ref <model>
        scoring: !ref <scoring>
tokenizer: !new:serenanet_modules.runs.Tokenizer
decoding_function: !name:serenanet_modules.runs.greedy_labels
    blank_id: 0
audio_normalizer: !name:serenanet_modules.runs.mono
pretrainer: !new:serenanet_modules.runs.FolderPretrainer
    model: !ref <model>
    tokenizer: !ref <tokenizer>
"""
ADDED = ("format", "tokenizer", "decoding_function", "audio_normalizer", "pretrainer")  # beside modules.encoder
LOCK = ".lock"  # in the folder of a run that has begun
OUTPUT = "output.txt"  # there, where `serenanet ablate` has started the run: what it prints


@contextlib.contextmanager
def sole_owner(folder):
    """Refuse a second run in the same result folder while this one lives."""
    with contextlib.ExitStack() as stack:
        distributed.main_first(lambda: _lock(folder, stack))
        yield


def _lock(folder, stack):
    begun = any((folder / name).exists() for name in (FILE, "save", LOCK))
    others = [path.name for path in folder.iterdir() if path.name not in (LIST, OUTPUT)] if folder.is_dir() else []
    if others and not begun:
        raise UserError(f"{folder}: holds other files, such as {min(others)}, and no run; give another --output_folder")
    (folder / "save").mkdir(parents=True, exist_ok=True)
    refusal = (
        f"{folder}: another run is using this result folder; wait for it, or give this "
        "one its own --experiment NAME or --seed N"
    )
    stack.enter_context(locked(folder / LOCK, refusal))
    sweep(folder)


def for_use(hparams):
    """A recogniser's hyper-parameters as its folder holds them: SpeechBrain's ``EncoderASR.from_hparams`` opens it.

    The Brain is there by name only: who uses the model needs nothing of its training.
    """
    return hparams.extended(ENCODER_ASR).named("brain")


def for_training(folder):
    """The hyper-parameters of a finished recogniser, with which another training of the same model may begin.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    Hparams
        Without what `for_use` and `write_hyperparams` have added.

    Raises
    ------
    UserError
        For a file that holds what no result folder may.
    """
    plain = Document.of_run(folder).plain()
    hparams = Hparams.load(folder / FILE)
    hparams = hparams.only([name for name in hparams.tree if name not in ADDED])
    hparams.set("modules", {"model": hparams.tree["model"]})
    return hparams.lay([("brain", f"{NAME}{plain['brain']}")])


def write_hyperparams(folder, hparams):
    """hyperparams.yaml, with the version of the folder's format."""
    write_text(folder / FILE, hparams.extended(f"format: {FORMAT}\n").text)


def claim(folder, hparams, data):
    """Write what a run is into its folder; refuse a folder whose run was another one.

    Parameters
    ----------
    folder : Path
    hparams : Hparams
        As the folder shall hold them.
    data : str
        Key of the prepared data.
    """
    file, data_file = folder / FILE, folder / "save" / "data.txt"
    if file.is_file():
        check_format(read_yaml(file), file)
        changed = hparams.differences(file, free_to_change())
        if data_file.is_file() and data_file.read_text(encoding="utf-8") != data:
            changed.append("the data")
        if changed:
            raise UserError(
                f"{folder} holds a run with other settings ({', '.join(changed)}); give this one its own "
                "--experiment NAME, or delete that folder"
            )
    write_hyperparams(folder, hparams)
    renew(folder, FILE)
    write_text(data_file, data)
