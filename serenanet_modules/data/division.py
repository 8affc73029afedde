"""By what a corpus without splits is divided: speakers, recordings or sentences, of which none is on two sides."""

from collections import Counter
from dataclasses import dataclass

from serenanet_modules.data.splitting import SHARES, by_group
from serenanet_modules.runtime.amounts import counted

WAYS = ("speaker", "recording", "sentence")
ENOUGH = 0.75  # of the share that train should have


@dataclass(frozen=True)
class Made:
    """The split of each utterance, and what people should know of it, a line each."""

    splits: list
    told: tuple


@dataclass(frozen=True)
class Division:
    """How utterances are divided.

    Attributes
    ----------
    shares : dict of str to float, optional
        As of `by_group`.
    seed : int
    by : str, optional
        One of `WAYS`. By default speakers are kept apart where there are enough of them for all splits; else recordings
        where that leaves train `ENOUGH` of its share; else sentences.
    """

    shares: dict | None = None
    seed: int = 0
    by: str | None = None

    def __call__(self, groups):
        """Divide utterances.

        Parameters
        ----------
        groups : dict of str to list of str
            Of each of `WAYS` the group of each utterance, "" where nobody knows it.

        Returns
        -------
        Made or None
            None where there are too few groups.
        """
        ways = [self.by] if self.by else [way for way in WAYS if way != "recording" or _holds_several(groups[way])]
        made = {way: splits for way in ways if (splits := self._by(groups[way]))}
        if not made:
            return None
        fair = [way for way, splits in made.items() if self._is_fair(splits)]
        way = "speaker" if "speaker" in made else next(iter(fair or made))
        return Made(made[way], tuple(self._told(way, groups, made, fair)))

    def _by(self, groups):
        return by_group(groups, self.shares, self.seed) if len(set(groups) - {""}) > 1 else None

    def _is_fair(self, splits):
        return _train(splits) >= ENOUGH * (self.shares or SHARES)["train"]

    def _told(self, way, groups, made, fair):
        number = {name: len(set(found) - {""}) for name, found in groups.items()}
        if way != "speaker" and not self.by:
            named = counted(number["speaker"], "speaker") if number["speaker"] else "no speakers"
            yield f"names {named}, so it is split by {way}, and a speaker may be in train and test"
        if way == "sentence" and "recording" in made:
            yield (
                f"one recording may be in both train and test: there are only {number['recording']}, and with whole "
                f"recordings train would have {_percent(made['recording'])} of the utterances; --split_by recording "
                "splits that way all the same"
            )
        if way not in fair:
            others = [f"; --split_by {other} gives it {_percent(made[other])}" for other in fair[:1]]
            only = counted(number[way], way)
            yield f"train has {_percent(made[way])} of the utterances, since there are only {only}{''.join(others)}"


def _holds_several(groups):
    """Whether some group has several utterances."""
    return max(Counter(groups).values(), default=0) > 1


def _train(splits):
    return splits.count("train") / len(splits)


def _percent(splits):
    return f"{100 * _train(splits):.0f} %"
