"""Swahili-Speech as its repository has it: data/raw_text_file.txt and data/records/{train,val,test}/*.wav."""

from pathlib import Path

from serenanet_modules.data.manifest import Candidate
from serenanet_modules.data.splitting import half, listed
from serenanet_modules.errors import LayoutError, UserError

PARTS = {"train": "train", "val": "dev", "test": "test"}
SPEAKER = "reader"  # one, throughout


def candidates(data_folder, locale, division):
    """Yield the utterances.

    The corpus keeps half of itself for testing. Here the half of that which `half` makes of its sentences, and each
    sentence that the training set has too, goes to train; or what results.tsv lists.

    Parameters
    ----------
    data_folder : str or Path
        A clone of the repository, or its folder data.
    locale : str
    division : str
        As in `serenanet_modules.data.splitting.listed`.

    Yields
    ------
    Candidate

    Raises
    ------
    UserError
        Where this is no clone, or a recording has no text.
    """
    folder = Path(data_folder).absolute()
    folder = folder / "data" if (folder / "data").is_dir() else folder
    list_file = folder / "raw_text_file.txt"
    if not list_file.is_file() or not all((folder / "records" / part).is_dir() for part in PARTS):
        raise LayoutError(f"{folder}: there is no raw_text_file.txt with records/; is it a clone of Swahili-Speech?")
    texts = _texts(list_file)
    wavs = {part: sorted((folder / "records" / part).glob("*.wav")) for part in PARTS}
    for wav in sum(wavs.values(), []):
        if wav.stem not in texts:
            raise UserError(f"{list_file}: has no line for {wav.name}")
    splits = {wav.stem: PARTS[part] for part in PARTS for wav in wavs[part]} | _divided(wavs, texts, division)
    return (
        Candidate(wav.stem, wav, texts[wav.stem], SPEAKER, locale, splits[wav.stem])
        for part in PARTS
        for wav in wavs[part]
        if splits[wav.stem]
    )


def _divided(wavs, texts, division):
    """Splits of the corpus's test set; None for what is left out."""
    names = [wav.stem for wav in wavs["test"]]
    given = listed(division, Path(__file__).parent, names)
    if given is not None:
        return {name: given.get(name) for name in names}
    known = {texts[wav.stem] for wav in wavs["train"]}
    return {name: "train" if texts[name] in known or half(texts[name]) else "test" for name in names}


def _texts(file):
    """Sentences by recording: ``<name>:<sentence>`` lines."""
    texts = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        name, colon, text = line.partition(":")
        if line.strip() and not colon:
            raise UserError(f"{file}: line {number} has no colon between recording and sentence.")
        texts[name.strip()] = text.strip()
    return texts
