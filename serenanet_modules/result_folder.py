"""A result folder belongs to one run at a time, and to one set of settings for ever."""

import contextlib

from serenanet_modules import distributed
from serenanet_modules.data.files import locked, replacing
from serenanet_modules.errors import UserError

FREE_TO_CHANGE = (  # when a run goes on in a result folder; data and units are compared by what they hold
    *("number_of_epochs", "early_stopping_patience", "checkpoints_to_average", "nonfinite_patience"),
    *("num_workers", "ckpt_interval_minutes", "output_folder", "data_folder", "prepared_folder", "preparation"),
    *("beam_size", "lm", "lm_order", "lm_weight", "word_score"),
    *("attention_beam_size", "decoding_ctc_weight", "length_normalisation", "neural_lm"),
)


@contextlib.contextmanager
def sole_owner(folder):
    """Refuse a second run in the same result folder while this one lives."""
    with contextlib.ExitStack() as stack:
        distributed.main_first(lambda: _lock(folder, stack))
        yield


def _lock(folder, stack):
    (folder / "save").mkdir(parents=True, exist_ok=True)
    try:
        stack.enter_context(locked(folder / ".lock", wait=False))
    except BlockingIOError:
        raise UserError(
            f"{folder}: another run is using this result folder; wait for it, or give this "
            "one its own --experiment NAME or --seed N"
        ) from None


def claim(folder, hparams, data):
    """Write what a run is into its folder; refuse a folder whose run was another one.

    Parameters
    ----------
    folder : Path
    hparams : Hparams
    data : str
        Key of the prepared data.
    """
    file, data_file = folder / "hyperparams.yaml", folder / "save" / "data.txt"
    if file.is_file():
        changed = hparams.differences(file, FREE_TO_CHANGE)
        if data_file.is_file() and data_file.read_text(encoding="utf-8") != data:
            changed.append("the data")
        if changed:
            raise UserError(
                f"{folder} holds a run with other settings ({', '.join(changed)}); give this one its own "
                "--experiment NAME, or delete that folder"
            )
    with replacing(file) as path:
        path.write_text(hparams.text, encoding="utf-8")
    with replacing(data_file) as path:
        path.write_text(data, encoding="utf-8")
