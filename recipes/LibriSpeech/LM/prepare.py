"""LibriSpeech's text for language models: librispeech-lm-norm.txt, one sentence a line, also .gz."""

from pathlib import Path

from serenanet_modules.errors import UserError

CORPUS = "librispeech-lm-norm.txt"


def texts(data_folder):
    """The file of the corpus, in a list.

    Raises
    ------
    UserError
        Where it is not there.
    """
    for name in (CORPUS, f"{CORPUS}.gz"):
        if (path := Path(data_folder) / name).is_file():
            return [path]
    raise UserError(f"data_folder: {data_folder} has neither {CORPUS} nor {CORPUS}.gz; or give --text FILE")
