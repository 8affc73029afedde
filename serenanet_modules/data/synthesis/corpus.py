"""Synthetic clips, made and listed.

<folder>/synthesis.json            what made it; another command is refused here, the same one goes on
<folder>/clips/synthetic_*.flac    16-bit mono FLAC at 16 kHz, which preparation uses where they are
<folder>/{train,dev,test}.tsv      written last
"""

import contextlib
import hashlib
import itertools
import queue
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import soundfile
import soxr

from serenanet_modules.data.audio import SAMPLE_RATE, save_flac
from serenanet_modules.data.espeak import Manner, Talker
from serenanet_modules.data.manifest import SPLITS
from serenanet_modules.data.synthesis.plan import CLIP, clips
from serenanet_modules.data.synthesis.release import row, write_list
from serenanet_modules.data.synthesis.rooms import Room
from serenanet_modules.data.synthesis.spoken import spoken
from serenanet_modules.errors import UserError
from serenanet_modules.runtime.amounts import counted
from serenanet_modules.runtime.bars import Bar
from serenanet_modules.runtime.files import locked, read_json, sweep, write_json
from serenanet_modules.runtime.threads import available_cores

VERSION = 1  # raise it when other clips are made of the same settings
ABOUT, LOCK = "synthesis.json", ".lock"
WAVE = 64  # clips that are begun before it is asked whether they are enough


class Corpus:
    """A folder of synthetic speech.

    Parameters
    ----------
    folder : str or Path
        Empty, missing, or begun by the same settings.
    sentences : list of str
        All different.
    settings : Settings
    espeak : Espeak

    Raises
    ------
    UserError
        For a folder that holds anything else.
    """

    def __init__(self, folder, sentences, settings, espeak):
        self.folder, self.sentences, self.settings, self.espeak = Path(folder), sentences, settings, espeak
        text = hashlib.sha256("\n".join(sentences).encode()).hexdigest()
        about = {"version": VERSION, "espeak-ng": espeak.version, "sentences": len(sentences), "text": text}
        self.about = {"made by": "serenanet synthesise", **about, **asdict(settings)}
        self._check()

    def make(self, count=None, hours=None, jobs=None, progress=True):
        """Make the clips that are not there yet, then the lists.

        Parameters
        ----------
        count : int, optional
            Clips; by default as many as there are sentences, unless hours are given.
        hours : float, optional
        jobs : int, optional
            Threads; by default one for each core that this process may use. They change nothing but the time.
        progress : bool
            Whether to show a bar.

        Returns
        -------
        list of (Clip, float)
            With seconds; of a clip that espeak-ng gave no sound for, 0.
        """
        count = len(self.sentences) if count is None and hours is None else count
        with locked(self.folder / LOCK):
            sweep(self.folder)
            write_json(self.folder / ABOUT, self.about)
            made = self._until(count, hours, jobs or available_cores(), progress)
            self._list([clip for clip, seconds in made if seconds])
        return made

    def _check(self):
        about, there = self.folder / ABOUT, self.folder.is_dir() and {p.name for p in self.folder.iterdir()} - {LOCK}
        if self.folder.exists() and not self.folder.is_dir():
            raise UserError(f"{self.folder}: is a file; give a folder")
        if there and not about.is_file():
            raise UserError(f"{self.folder}: holds other files, such as {min(there)}; give an empty folder")
        if not there:
            return
        try:
            earlier = read_json(about)
            other = next((key for key in self.about if earlier.get(key) != self.about[key]), None)
        except (ValueError, AttributeError):
            raise UserError(f"{about}: is not what an earlier synthesis wrote; give an empty folder") from None
        if other is not None:
            raise UserError(
                f"{self.folder}: was made with another {other} ({earlier.get(other)}, not {self.about[other]}); "
                "give another folder"
            )

    def _until(self, count, hours, jobs, progress):
        """(clip, seconds) of the sequence until there are enough."""
        made, total = [], 0.0
        waiting = itertools.islice(clips(self.sentences, self.espeak.variants(), self.settings), count)
        with (
            _talkers(jobs) as talkers,
            ThreadPoolExecutor(jobs) as pool,
            Bar(total=count, desc="speech", unit="clip", disable=not progress) as bar,
        ):
            while wave := list(itertools.islice(waiting, WAVE)):
                texts = [self._spoken(clip) for clip in wave]  # here, as the library is not for threads
                for clip, seconds in zip(
                    wave, pool.map(self._clip, wave, texts, itertools.repeat(talkers)), strict=True
                ):
                    if hours is None or total < 3600 * hours:
                        made.append((clip, seconds))
                        total += seconds
                    bar.update()
                if hours is not None and total >= 3600 * hours:
                    break
                if not total:
                    raise UserError(
                        f"espeak-ng gave no sound for any of {counted(len(made), 'sentence')}; is the language right?"
                    )
        return made

    def _spoken(self, clip):
        return spoken(clip.sentence, self.settings.locale, self.espeak, self.settings.language)

    def _clip(self, clip, text, talkers):
        """Make a clip that is not there; its seconds."""
        path = self._path(clip)
        if not path.is_file():
            talker = talkers.get()
            try:
                sound = talker.say(text, Manner(f"{self.settings.language}+{clip.voice.variant}", *clip.voice[1:4]))
            finally:
                talkers.put(talker)
            if not sound:
                return 0.0
            samples = np.frombuffer(sound, np.int16) / 2**15
            rng = self.settings.random(CLIP, clip.number, 0)
            heard = Room.draw(rng).record(
                soxr.resample(samples, self.espeak.sample_rate, SAMPLE_RATE), SAMPLE_RATE, rng
            )
            save_flac(path, heard)
        return soundfile.info(path).duration

    def _path(self, clip):
        return self.folder / "clips" / f"synthetic_{self.settings.locale}_{clip.number:08d}.flac"

    def _list(self, kept):
        """Write the lists, and delete clips that are in none: of an earlier, larger corpus, or beyond its hours."""
        names = {self._path(clip).name for clip in kept}
        for path in (self.folder / "clips").glob("synthetic_*.flac"):
            if path.name not in names:
                path.unlink()
        for split in SPLITS:
            rows = (
                row(self._path(clip).name, clip.sentence, clip.voice, self.settings.locale, clip.voice.is_man)
                for clip in kept
                if clip.split == split
            )
            write_list(self.folder / f"{split}.tsv", rows)


@contextlib.contextmanager
def _talkers(count):
    """A queue of processes that speak."""
    with contextlib.ExitStack() as stack:
        found = queue.SimpleQueue()
        for _ in range(count):
            found.put(stack.enter_context(Talker()))
        yield found
