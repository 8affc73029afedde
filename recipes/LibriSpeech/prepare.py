"""LibriSpeech as published: LibriSpeech/<subset>/<speaker>/<chapter>/*.flac and one *.trans.txt a chapter."""

from pathlib import Path

from serenanet_modules.data.downloads import Download
from serenanet_modules.data.manifest import SPLITS, Candidate
from serenanet_modules.errors import LayoutError, UserError

SUBSETS = {
    "train": ("train-clean-100", "train-clean-360", "train-other-500"),
    "dev": ("dev-clean", "dev-other"),
    "test": ("test-clean", "test-other"),
}
SUMS = {  # SHA-256 of <subset>.tar.gz
    "train-clean-100": "d4ddd1d5a6ab303066f14971d768ee43278a5f2a0aa43dc716b0e64ecbbbf6e2",
    "train-clean-360": "146a56496217e96c14334a160df97fffedd6e0a04e66b9c5af0d40be3c792ecf",
    "train-other-500": "ddb22f27f96ec163645d53215559df6aa36515f26e01dd70798188350adcb6d2",
    "dev-clean": "76f87d090650617fca0cac8f88b9416e0ebf80350acb97b343a85fa903728ab3",
    "dev-other": "12661c48e8c3fe1de2c1caa4c3e135193bfb1811584f11f569dd12645aa84365",
    "test-clean": "39fde525e59672dc6d1551919b1478f724438a95aa55f874b576be21967e6c23",
    "test-other": "d09c181bba5cf717b3dee7d4d592af11a3ee3a09e08ae025c5506f6ebe961c29",
}
PLACE = "https://www.openslr.org/resources/12"
USUAL = ("train-clean-100", *SUBSETS["dev"], *SUBSETS["test"])


def downloads(parts=None, mirror=None):
    """Archives of subsets.

    Parameters
    ----------
    parts : list of str, optional
        Subsets; by default those that the recipe trains and tests on.
    mirror : str, optional
        A URL below which they lie.

    Returns
    -------
    list of Download

    Raises
    ------
    UserError
        For an unknown subset.
    """
    for name in parts or ():
        if name not in SUMS:
            raise UserError(f"--parts: there is no {name!r} in LibriSpeech; choose from {', '.join(SUMS)}")
    place = (mirror or PLACE).rstrip("/")
    return [
        Download(f"{place}/{name}.tar.gz", f"LibriSpeech/{name}", f"sha256:{SUMS[name]}", f"LibriSpeech/{name}")
        for name in parts or USUAL
    ]


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
