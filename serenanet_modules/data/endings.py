"""The endings of files that hold sound, in the order in which one is preferred to another of the same name."""

AUDIO = (
    *("wav", "flac", "mp3", "mpga", "ogg", "opus", "oga", "m4a", "mp4", "mov", "3gp", "webm", "mkv", "mka"),
    *("aac", "amr", "wma", "aif", "aiff", "caf", "m4v", "mpg", "mpeg", "mts", "m2ts", "avi"),
)
