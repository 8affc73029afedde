"""The endings of files that hold sound, in the order in which one is preferred to another of the same name."""

from serenanet_modules.runtime.files import below

AUDIO = (
    *("wav", "flac", "mp3", "mpga", "ogg", "opus", "oga", "m4a", "mp4", "mov", "3gp", "webm", "mkv", "mka"),
    *("aac", "amr", "wma", "aif", "aiff", "caf", "m4v", "mpg", "mpeg", "mts", "m2ts", "avi"),
)


def sounds(folder):
    """Files at any depth that end as sound does, sorted; links to nothing too, so that whoever reads them says so."""
    return [file for file in below(folder) if file.suffix[1:].lower() in AUDIO and not file.is_dir()]
