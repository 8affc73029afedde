"""The Mboshi-French parallel corpus as its repository has it: full_corpus_newsplit/{train,dev}/*.wav, *.mb.cleaned."""

from pathlib import Path

from serenanet_modules.data.manifest import Candidate
from serenanet_modules.data.splitting import half, listed
from serenanet_modules.errors import LayoutError, UserError

CORPUS = "full_corpus_newsplit"
TEXT = ".mb.cleaned"  # lower case, no punctuation, tones kept


def candidates(data_folder, locale, division):
    """Yield the utterances.

    The corpus's training set stays as it is. Its development set becomes dev and test: the halves that `half` makes
    of its sentences, so that a sentence said twice is on one side; or what results.tsv lists.

    Parameters
    ----------
    data_folder : str or Path
        A clone of the repository, or its folder full_corpus_newsplit.
    locale : str
    division : str
        As in `serenanet_modules.data.splitting.listed`.

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
    given = listed(division, Path(__file__).parent, [wav.stem for wav in (folder / "dev").glob("*.wav")])
    return (utterance for part in ("train", "dev") for utterance in _part(folder / part, locale, given))


def _part(folder, locale, given):
    for wav in sorted(folder.glob("*.wav")):
        transcript = wav.with_name(wav.stem + TEXT)
        if not transcript.is_file():
            raise UserError(f"{transcript}: there is no such file, but {wav.name} is there; is the clone complete?")
        text = transcript.read_text(encoding="utf-8").strip()
        if split := "train" if folder.name == "train" else _held_out(wav.stem, text, given):
            yield Candidate(wav.stem, wav, text, wav.stem.split("_")[0], locale, split)


def _held_out(name, text, given):
    """The side of a recording of the development set; None where it is left out."""
    if given is not None:
        return given.get(name)
    return "dev" if half(text) else "test"
