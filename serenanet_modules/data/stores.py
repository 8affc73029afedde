"""Where prepared audio is written: a file a clip, or archives of many (`data.tars`)."""

from dataclasses import replace

from serenanet_modules.data.audio import encoded_flac, save_flac
from serenanet_modules.data.tars import Shards, member, members, place


class Loose:
    """A FLAC file for each clip, where its ``flac`` says."""

    in_place = True  # what is such a file already is not copied

    def has(self, clip):
        """Whether its ``flac`` may be here."""
        return True

    def save(self, clip, samples):
        """Write samples (N,); returns the clip."""
        save_flac(clip.flac, samples)
        return clip

    def close(self):
        """Nothing is open."""


class Packed:
    """Archives in WebDataset's layout, each clip as FLAC and text; those of each process are its own.

    Parameters
    ----------
    folder : Path
    process : int
    """

    in_place = False

    def __init__(self, folder, process=0):
        self._shards = Shards(folder, f"{process:03d}")

    def has(self, clip):
        """Whether its ``flac`` is in an archive, and no file of an earlier preparation."""
        return member(clip.flac) is not None

    def save(self, clip, samples):
        """Write samples (N,); returns the clip, whose ``flac`` is its place."""
        contents = {"flac": encoded_flac(samples), "txt": clip.text.encode("utf-8", "replace")}
        return replace(clip, flac=self._shards.add(clip.flac.stem, contents))

    def close(self):
        """End the archive that is open."""
        self._shards.close()


def packed(folder):
    """Places of the clips that archives of a folder hold, by the name of their FLAC file."""
    found = {}
    for tar in sorted(folder.glob("*.tar")):
        for name, inside in members(tar):
            if name.endswith(".flac"):
                found[name] = place(tar, inside.offset, inside.size, name)
    return found
