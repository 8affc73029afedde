"""Praat's files, long and short, in any encoding that Praat writes."""

import pytest
from praatio import textgrid as praat

from serenanet_modules.data.annotations import textgrid
from tests.support.refusals import refusal

SAID = [(0.0, 0.5, ""), (0.5, 1.25, 'a "b" c'), (1.25, 2.0, "ŋ\u0301")]


def written(path, kind, encoding="utf-8"):
    grid = praat.Textgrid(0, 2)
    grid.addTier(praat.IntervalTier("Words", [row for row in SAID if row[2]], 0, 2))
    grid.addTier(praat.PointTier("clicks", [(1.5, "click")], 0, 2))
    grid.save(str(path), format=kind, includeBlankSpaces=True)
    path.write_bytes(path.read_text(encoding="utf-8").encode(encoding))
    return path


@pytest.mark.parametrize("kind", ["long_textgrid", "short_textgrid"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_what_praatio_writes_is_read(tmp_path, kind, encoding):
    (document,) = textgrid.read(written(tmp_path / "a.TextGrid", kind, encoding))
    words, clicks = document.tiers
    assert [(a.start, a.end, a.text) for a in words.annotations] == SAID
    assert (words.name, clicks.name) == ("Words", "clicks")
    assert [(a.start, a.text, a.timed) for a in clicks.annotations] == [(1.5, "click", False)]


def test_every_beginning_of_a_file_is_refused(tmp_path):
    """Whatever is cut off, and whatever stands in it twice."""
    text = written(tmp_path / "a.TextGrid", "short_textgrid").read_text(encoding="utf-8")
    path = tmp_path / "b.TextGrid"
    for end in range(len(text.rstrip()) - 1):
        path.write_text(text[:end], encoding="utf-8")
        refusal(lambda: textgrid.read(path), path)
    for said in ("9" * 30, "1000000", "-1"):
        path.write_text(text.replace("\n2\n", f"\n{said}\n", 2), encoding="utf-8")
        refusal(lambda: textgrid.read(path), path)


def test_no_interval_is_left_out(tmp_path):
    """Of a file that says fewer tiers or intervals than it has."""
    text = written(tmp_path / "a.TextGrid", "short_textgrid").read_text(encoding="utf-8")
    (tmp_path / "a.TextGrid").write_text(text.replace("<exists>\n2\n", "<exists>\n1\n"), encoding="utf-8")
    assert "more tiers or intervals" in refusal(lambda: textgrid.read(tmp_path / "a.TextGrid"), tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"ooBinaryFile\x08TextGrid", b"\xff\xfe\x00", b"\xff", b'"Praat chronological TextGrid text file"']
)
def test_what_is_no_textgrid_is_one_sentence(tmp_path, content):
    path = tmp_path / "a.TextGrid"
    path.write_bytes(content)
    refusal(lambda: textgrid.read(path), path)
