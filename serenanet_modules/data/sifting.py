"""Which clips of a corpus a training can use, and why it cannot use the others."""

import functools
import logging
from dataclasses import dataclass
from itertools import pairwise

from serenanet_modules.data.audio import SILENCE
from serenanet_modules.data.held_out import HeldOut
from serenanet_modules.data.listening import Clip, glance, hear
from serenanet_modules.data.manifest import role
from serenanet_modules.data.text import PLAIN, Style, normaliser
from serenanet_modules.data.text.marks import KEPT, marks, without_marks
from serenanet_modules.errors import UserError
from serenanet_modules.runtime.amounts import counted
from serenanet_modules.runtime.threads import available_cores

logger = logging.getLogger(__name__)

PRECEDENCE = ("test", "dev", "train")  # of two clips with one id, the first is kept


@dataclass(frozen=True)
class Settings:
    """The rules a *training* utterance must meet; dev and test keep everything that can be read.

    `frame_rate` is the lowest that an encoder's output has, 25 Hz for 40 ms frames. CTC needs a
    frame for every character and one more between two equal ones; `frames_per_character`
    multiplies that need.
    """

    min_duration: float = 0.3  # seconds
    max_duration: float = 60.0  # seconds
    frame_rate: float = 25.0  # Hz
    frames_per_character: float = 1.0
    phonemes: bool = False  # fill the phonemes column
    marks: str = "drop"  # transcribers': left out; or words of their own (keep), or no training utterance (skip)
    needs_text: bool = True  # False keeps training clips whatever their text; pre-training reads none
    text_case: str = "lower"  # or keep, as punctuation
    punctuation: str = "drop"

    @property
    def style(self):
        """The `Style` of the texts."""
        return Style(self.text_case, self.punctuation, self.marks)


def inspect(candidates, settings=None, decode=False, jobs=None, progress=True):
    """Apply the rules of `preparation.prepare`, and write nothing.

    Parameters
    ----------
    candidates, settings, jobs, progress
        As there.
    decode : bool
        False reads the audio's headers only, which does not find what is truncated, damaged inside, not finite or
        silent.

    Returns
    -------
    list of Clip
        All candidates; those that would be rejected have a reason.
    """
    settings = settings or Settings()
    clips = normalised(in_precedence(candidates), settings)
    jobs = jobs or available_cores()
    clips = hear(clips, jobs, progress) if decode else glance(clips, jobs, progress)
    return [judged(clip, settings) for clip in clips]


def trainable(candidates, settings):
    """The training candidates that nothing keeps from it but, perhaps, their audio or an empty text."""
    train = [c for c in candidates if c.split == "train"]
    if settings.marks != "skip" and all(c.weight and not c.labelled_by for c in train):
        return train
    clips = normalised(in_precedence(candidates), settings)
    return [clip.candidate for clip in clips if clip.candidate.split == "train" and not clip.reason]


def written(candidates, style=PLAIN):
    """Yield the normalised text of each candidate."""
    rules = {locale: normaliser(locale, style) for locale in {c.locale for c in candidates}}
    for c in candidates:
        yield rules[c.locale](c.text)


def spoken(candidates, style=PLAIN):
    """Yield the phonemes of each candidate: its own, or those of its normalised text."""
    say = phonemiser()
    for c, text in zip(candidates, written(candidates, style), strict=True):
        yield c.phonemes or say(text, c.locale)


def in_precedence(candidates):
    """Those of test first, then of dev, then of train."""
    candidates = sorted(candidates, key=lambda c: PRECEDENCE.index(role(c.split)))
    if not candidates:
        raise UserError("There is nothing to prepare: the data folder's lists are empty.")
    return candidates


def normalised(candidates, settings):
    """Normalise the texts, and reject what needs no listening."""
    kept = {c.id: i for i, c in reversed(list(enumerate(candidates)))}
    texts, clips = list(written(candidates, settings.style)), []
    held_out = _held_out(candidates)
    _say_lost(candidates, texts)
    for i, (c, text) in enumerate(zip(candidates, texts, strict=True)):
        clip = Clip(c, text)
        if kept[c.id] != i:
            clip = clip.rejected("duplicate id", f"the one in {candidates[kept[c.id]].split} is kept")
        elif settings.needs_text and c.split == "train" and not clip.text:
            clip = clip.rejected("empty text", f"the sentence is {c.text!r}")
        elif settings.marks == "skip" and c.split == "train" and (said := marks(c.text)):
            clip = clip.rejected("transcribers' marks", said[0])
        elif c.split == "train" and not c.weight:
            clip = clip.rejected("weight 0")
        elif c.split == "train" and c.labelled_by and (shared := held_out.has(c, c.text)):
            clip = clip.rejected(f"{shared} of dev or test", f"labelled by {c.labelled_by}")
        clips.append(clip)
    return clips


def _say_lost(candidates, texts):
    """Warn of texts to score by of which nothing is left, though something is said: of another script or language."""
    lost = [
        c
        for c, text in zip(candidates, texts, strict=True)
        if not text and role(c.split) != "train" and any(map(str.isalpha, without_marks(c.text)))
    ]
    if lost:
        logger.warning(
            "%s of dev or test left without a letter by the rules of %s, the first %r, and scored as empty; is "
            "--locale right?",
            counted(len(lost), "text"),
            lost[0].locale,
            lost[0].text[:60],
        )


def _held_out(candidates):
    """Dev and test, which what a model has labelled must not come from; nothing where no model has."""
    labelled = any(c.labelled_by for c in candidates)
    return HeldOut(c for c in candidates if labelled and role(c.split) != "train")


def judged(clip, settings):
    """Reject a training clip that would not train."""
    if clip.reason or clip.candidate.split != "train":
        return clip
    need = settings.frames_per_character * ctc_frames(KEPT.sub("#", clip.text))
    frames = clip.duration * settings.frame_rate
    if clip.amplitude is not None and clip.amplitude < SILENCE:
        return clip.rejected("silent", f"amplitude {clip.amplitude:.1e}")
    if clip.duration < settings.min_duration:
        return clip.rejected("too short", f"{clip.duration:.2f} s")
    if clip.duration > settings.max_duration:
        return clip.rejected("too long", f"{clip.duration:.2f} s")
    if settings.needs_text and frames < need:
        needed = f"{frames:.0f} frames at {settings.frame_rate:g} Hz, {need:.0f} needed"
        return clip.rejected("too short for its text", needed)
    return clip


def ctc_frames(text):
    """Fewest frames in which CTC can say a text: a blank stands between two equal characters.

    Examples
    --------
    >>> ctc_frames("saa")
    4
    """
    return len(text) + sum(a == b for a, b in pairwise(text))


def phonemiser():
    """Return a function (text, locale) -> phonemes that looks every word up once."""
    from serenanet_modules.data.phonemes import g2p, phonemise  # its libraries load slowly

    @functools.cache
    def words(locale):  # asked for where a corpus does not say its phonemes
        return functools.cache(g2p(locale))

    return lambda text, locale: phonemise(text, words(locale))
