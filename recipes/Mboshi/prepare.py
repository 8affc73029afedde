"""The Mboshi-French parallel corpus as its repository has it: full_corpus_newsplit/{train,dev}/*.wav, *.mb.cleaned."""

from pathlib import Path

from serenanet_modules.data.manifest import Candidate
from serenanet_modules.data.splitting import half
from serenanet_modules.errors import LayoutError, UserError

CORPUS = "full_corpus_newsplit"
TEXT = ".mb.cleaned"  # lower case, no punctuation, tones kept


def candidates(data_folder, locale):
    """Yield the utterances.

    The corpus's training set stays as it is. Its development set becomes dev and test: the halves that `half` makes
    of its sentences, so that a sentence said twice is on one side.

    Parameters
    ----------
    data_folder : str or Path
        A clone of the repository, or its folder full_corpus_newsplit.
    locale : str

    Yields
    ------
    Candidate

    Raises
    ------
    UserError
        Where this is no clone, or a recording has no transcript.
    """
    folder = Path(data_folder).absolute()
    folder = folder / CORPUS if (folder / CORPUS).is_dir() else folder
    for part in ("train", "dev"):
        if not (folder / part).is_dir() or not any((folder / part).glob(f"*{TEXT}")):
            raise LayoutError(f"{folder}: there is no {part}/*{TEXT} here; is it a clone of the Mboshi corpus?")
    return (utterance for part in ("train", "dev") for utterance in _part(folder / part, locale))


def _part(folder, locale):
    for wav in sorted(folder.glob("*.wav")):
        transcript = wav.with_name(wav.stem + TEXT)
        if not transcript.is_file():
            raise UserError(f"{transcript}: there is no such file, but {wav.name} is there; is the clone complete?")
        text = transcript.read_text(encoding="utf-8").strip()
        split = folder.name if folder.name == "train" else ("dev" if half(text) else "test")
        yield Candidate(wav.stem, wav, text, wav.stem.split("_")[0], locale, split)
