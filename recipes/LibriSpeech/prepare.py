"""LibriSpeech as published: LibriSpeech/<subset>/<speaker>/<chapter>/*.flac and one *.trans.txt a chapter."""

from pathlib import Path

from serenanet_modules.data.manifest import SPLITS, Candidate
from serenanet_modules.errors import LayoutError, UserError

SUBSETS = {
    "train": ("train-clean-100", "train-clean-360", "train-other-500"),
    "dev": ("dev-clean", "dev-other"),
    "test": ("test-clean", "test-other"),
}


def candidates(data_folder, locale, train_splits, dev_splits, test_splits, roles=SPLITS):
    """Yield the utterances of the subsets asked for.

    Parameters
    ----------
    data_folder : str or Path
        The folder LibriSpeech, or the one that it was unpacked in.
    locale : str
    train_splits, dev_splits, test_splits : list of str
        Names of subsets. Each dev and test subset stays a set of its own.
    roles : tuple of str
        Of train, dev and test, what is read.

    Yields
    ------
    Candidate

    Raises
    ------
    UserError
        For an unknown subset, or one that is not there.
    """
    folder = Path(data_folder).absolute()
    folder = folder / "LibriSpeech" if (folder / "LibriSpeech").is_dir() else folder
    asked = {"train": train_splits, "dev": dev_splits, "test": test_splits}
    asked = {kind: asked[kind] for kind in roles}
    for kind, subsets in asked.items():
        _check(folder, kind, subsets)
    return (
        utterance
        for kind, subsets in asked.items()
        for subset in subsets
        for utterance in _subset(folder / subset, locale, "train" if kind == "train" else subset)
    )


def _check(folder, kind, subsets):
    for subset in subsets:
        if subset not in SUBSETS[kind]:
            raise UserError(f"{kind}_splits: there is no {subset!r} in LibriSpeech; choose from {SUBSETS[kind]}")
        if not (folder / subset).is_dir():
            nothing = not any((folder / name).is_dir() for names in SUBSETS.values() for name in names)
            error = LayoutError if nothing else UserError
            raise error(
                f"{folder}: there is no {subset} here; unpack {subset}.tar.gz, or leave it out of --{kind}_splits"
            )


def _subset(folder, locale, split):
    for transcripts in sorted(folder.glob("*/*/*.trans.txt")):
        speaker = transcripts.parent.parent.name
        for number, line in enumerate(transcripts.read_text(encoding="utf-8").splitlines(), start=1):
            name, space, text = line.partition(" ")
            if not space:
                raise UserError(f"{transcripts}: line {number} has no text behind the id.")
            yield Candidate(name, transcripts.with_name(f"{name}.flac"), text, speaker, locale, split)
