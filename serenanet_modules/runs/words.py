"""Words of the training transcripts, as a result folder keeps them: a recogniser may be surer of those."""

from serenanet_modules.errors import UserError
from serenanet_modules.runtime.files import write_text

FILE = "save/words.txt"


def write_words(folder, words):
    """A word a line, in order."""
    write_text(folder / FILE, "".join(f"{word}\n" for word in sorted(words)))


def read_words(folder):
    """The words; None where the folder has no file of them.

    Raises
    ------
    UserError
        Where the file is none.
    """
    file = folder / FILE
    if not file.is_file():
        return None
    try:
        return frozenset(file.read_text(encoding="utf-8").split("\n")) - {""}
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{file}: cannot be read as words ({error}); copy it again, or delete it: the folder opens without it"
        ) from None
