"""A quotation mark too many or too few loses no row of a manifest in silence."""

import csv
import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import strategies as st

from serenanet_modules.data import tables
from tests.support.battery import all_hold, is_found
from tests.support.refusals import refused_or

TEXT = st.text(st.sampled_from("abc ñ\"',;|\t"), min_size=1, max_size=12).filter(str.strip)
QUOTED = st.tuples(
    st.sampled_from([",", ";", "|", "\t"]),
    st.lists(TEXT, min_size=2, max_size=6),
    st.sampled_from(["add", "drop", "open", "open two", "around", "leave"]),
    st.floats(0, 1),
    st.booleans(),
)


def written(delimiter, texts, always):
    """A table as programs write it: path and text of each utterance."""
    file = io.StringIO()
    tabs = delimiter == "\t"
    how = {"quoting": csv.QUOTE_NONE, "quotechar": None} if tabs else {"quoting": csv.QUOTE_ALL if always else 0}
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n", **how)
    writer.writerow(["path", "text"])
    for i, text in enumerate(texts):
        writer.writerow([f"clip{i}.wav", text.replace("\t", " ") if tabs else text])
    return file.getvalue()


def damaged(content, how, place):
    """The table with a quotation mark more or less."""
    lines = content.splitlines(keepends=True)
    if how == "open" or how == "open two":
        rows = {1 + int(place * (len(lines) - 1.01))} | ({len(lines) - 1} if how == "open two" else set())
        parted = [line.replace(".wav,", '.wav,"', 1).replace(".wav;", '.wav;"', 1) for line in lines]
        return "".join(parted[i] if i in rows else line for i, line in enumerate(lines))
    if how == "around":  # a mark opens in one row and closes at the end of another
        first = 1 + int(place * (len(lines) - 2))
        lines[first] = lines[first].replace(".wav,", '.wav,"', 1).replace(".wav;", '.wav;"', 1)
        return "".join(lines)[:-1] + '"\n'
    at = int(place * (len(content) - 1))
    if how == "add":
        return content[:at] + '"' + content[at:]
    marks = [i for i, c in enumerate(content) if c == '"']
    if how == "drop" and marks:
        at = marks[int(place * (len(marks) - 1))]
        return content[:at] + content[at + 1 :]
    return content


def no_row_is_lost(case):
    """Every row is there, or one sentence names the file and a line."""
    delimiter, texts, how, place, always = case
    content = written(delimiter, texts, always)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"m.{'tsv' if delimiter == chr(9) else 'csv'}"
        path.write_text(damaged(content, how, place), encoding="utf-8")
        rows = refused_or(lambda: tables.read_rows(path), path)
    assert how != "leave" or rows is not None
    assert rows is None or len(rows) == len(texts), [row.values for row in rows]


def test_quotation_marks():
    all_hold("quotation marks", QUOTED, no_row_is_lost)


@pytest.mark.parametrize("kind", ["unclosed", "two unclosed"])
def test_the_line_is_named(tmp_path, kind):
    """The one in which the mark opens."""
    second = '"' if kind == "two unclosed" else ""
    path = tmp_path / "m.csv"
    path.write_text(f'path,text\na.wav,neno\nb.wav,"moja\nc.wav,mbili\nd.wav,{second}tatu\n', encoding="utf-8")
    with pytest.raises(tables.UserError, match=rf"^{path}: line 3[ :]") as caught:
        tables.read_rows(path)
    assert "quotation mark" in str(caught.value)


def test_planted_faults(monkeypatch):
    """Rows that nobody looks for inside others, and a reader that takes what comes as well."""
    real = csv.reader
    monkeypatch.setattr(tables, "_swallowed", lambda *_: "")
    assert is_found(QUOTED, no_row_is_lost)
    monkeypatch.setattr(tables.csv, "reader", lambda *args, strict, **more: real(*args, **more))
    assert is_found(QUOTED, no_row_is_lost)
