"""FLEURS as published: data/<language>/{train,dev,test}.tsv and, unpacked, data/<language>/audio/<split>/*.wav."""

import difflib
import logging
import os
from pathlib import Path

from serenanet_modules.data.downloads import Download, listed
from serenanet_modules.data.manifest import SPLITS, Candidate
from serenanet_modules.errors import LayoutError, UserError

logger = logging.getLogger(__name__)

COLUMNS = ("id", "file_name", "raw_transcription", "transcription", "characters", "num_samples", "gender")  # no header
_TABLE = Path(__file__).with_name("languages.tsv").read_text(encoding="utf-8")
LANGUAGES = [line.split("\t")[0] for line in _TABLE.splitlines()[1:]]
ALL = "all"
HUB, NAME = "https://huggingface.co", "google/fleurs"


def downloads(parts=None, mirror=None):
    """Lists and archives of languages.

    Parameters
    ----------
    parts : list of str
        Languages, or ``all``.
    mirror : str, optional
        A server that answers as the Hugging Face hub does.

    Yields
    ------
    Download

    Raises
    ------
    UserError
        Where no language is named, for an unknown one, and for one that the server lacks.
    """
    if not parts:
        raise UserError("--parts: name languages, such as --parts sw_ke,en_us; all of them, 350 GB, are --parts all")
    place = mirror or os.environ.get("HF_ENDPOINT") or HUB
    for code in _asked(parts):
        folder = f"data/{code}"
        files = listed(place, NAME, "main", folder)
        for split in SPLITS:
            wanted = {f"{folder}/{split}.tsv": None, f"{folder}/audio/{split}.tar.gz": split}
            for path, inside in wanted.items():
                if path not in files:
                    raise UserError(f"{place}: {NAME} has no {path}")
                yield Download(files[path][0], path.removesuffix(".tar.gz"), files[path][1], inside)


def candidates(data_folder, locale, language, roles=SPLITS):
    """Yield the utterances of one language or of several.

    The text is the raw transcription: the language's own rule normalises it. FLEURS does not say who speaks.

    Parameters
    ----------
    data_folder : str or Path
        A copy of the repository google/fleurs, its folder data, or that of the language.
    locale : str
        Whose text rule is used, of one language. Of several each has its own.
    language : str or list of str
        Of languages.tsv; several with commas between, or ``all``. Of several, ids begin with the language, and dev and
        test sets are named after it: ``test-sw_ke``. A language that is missing or broken is left out with a warning.
    roles : tuple of str
        Of train, dev and test, what is read.

    Yields
    ------
    Candidate

    Raises
    ------
    UserError
        For an unknown language; of one language for a missing list, audio that is not unpacked, or a line that is not
        FLEURS's; of several where none can be read.
    """
    codes, folder = _asked(language), Path(data_folder).absolute()
    if len(codes) == 1:
        return _language(folder, codes[0], locale, roles)
    read, errors = [], {}
    for code in codes:
        try:
            read += _language(folder, code, code, roles, several=True)
        except UserError as error:
            errors[code] = error
    missing = [code for code, error in errors.items() if isinstance(error, LayoutError)]
    if not read:
        kind = LayoutError if len(missing) == len(codes) else UserError
        raise kind(f"{folder}: no language asked for can be read; the first: {errors[codes[0]]}")
    if missing:
        logger.warning("%s: %d of %d languages are not here: %s", folder, len(missing), len(codes), " ".join(missing))
    for code in sorted(errors.keys() - missing):
        logger.warning("%s is left out: %s", code, errors[code])
    return read


def _asked(language):
    """Codes in the order of languages.tsv, each once."""
    named = language if isinstance(language, list) else str(language).split(",")
    named = LANGUAGES if named == [ALL] else [str(code).strip() for code in named]
    for code in named:
        if code not in LANGUAGES:
            close = [known for known in LANGUAGES if known.split("_")[0] == code.split("_")[0].lower()]
            close = close or difflib.get_close_matches(code.lower(), LANGUAGES, n=1)
            hint = f"did you mean {close[0]}?" if close else f"the codes are {' '.join(LANGUAGES)}"
            raise UserError(f"language: FLEURS has no {code!r}; {hint}")
    return [code for code in LANGUAGES if code in named]


def _language(folder, code, locale, roles, several=False):
    folder = _folder(folder, code, several)
    for split in roles:
        _check(folder, split)
    prefix, suffix = (f"{code}/", f"-{code}") if several else ("", "")
    return [
        Candidate(f"{prefix}{name}", wav, text, "", locale, split if split == "train" else f"{split}{suffix}")
        for split in roles
        for name, wav, text in _split(folder, split)
    ]


def _folder(folder, code, several):
    for inner in (folder / "data" / code, folder / code, *([] if several else [folder])):
        if any((inner / f"{split}.tsv").is_file() for split in SPLITS):
            return inner
    raise LayoutError(f"{folder}: there is no data/{code}/train.tsv here; is it a copy of google/fleurs?")


def _check(folder, split):
    audio = folder / "audio"
    if not (folder / f"{split}.tsv").is_file():
        raise UserError(f"{folder}: there is no {split}.tsv here; download it beside the others.")
    if not (audio / split).is_dir():
        packed = audio / f"{split}.tar.gz"
        hint = f"unpack it: tar xzf {packed} -C {audio}" if packed.is_file() else f"{split}.tar.gz goes there"
        raise UserError(f"{audio / split}: there is no such folder; {hint}")


def _split(folder, split):
    """Yield name, audio and raw transcription of each line of a list."""
    file = folder / f"{split}.tsv"
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")  # other line ends may stand in a text
    except (UnicodeDecodeError, OSError) as error:
        raise UserError(f"{file}: cannot be read as a UTF-8 text ({error}).") from None
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        values = line.rstrip("\r").split("\t")
        if len(values) != len(COLUMNS):
            raise UserError(f"{file}: line {number} has {len(values)} columns, not the {len(COLUMNS)} of FLEURS.")
        row = dict(zip(COLUMNS, values, strict=True))
        wav = folder / "audio" / split / row["file_name"]
        yield f"{split}-{wav.stem}", wav, row["raw_transcription"]
