"""Annotated recordings: one file a format, all read into the model of ``model.py`` and written from it.

``formats.py`` is the table of readers and finds which of them a file needs; ``tiers.py`` chooses what is transcribed;
``media.py`` finds the recordings; ``rows.py`` makes a manifest's rows of them, so that a corpus of annotated recordings
is split, checked and prepared as any manifest is.

A format: a module with ``read(path) -> [Document]``, which raises a `UserError` for a file that is none of its kind,
and a line in ``formats.READERS``.
"""
