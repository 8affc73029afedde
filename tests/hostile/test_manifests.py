"""Manifests of strangers: quotation marks, what JSON can say in other ways, spaces in names, and long texts."""

import csv
import io
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import strategies as st

from serenanet_modules.data import placing, tables
from serenanet_modules.data.manifest import Utterance, read_manifest, write_manifest
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


VALUES = ["NaN", "Infinity", "-Infinity", "1e400", "true", "null", "[]", "{}", '"neno"', "7", "9" * 5000, '"\\ud800"']
ENTRIES = st.tuples(
    st.lists(
        st.tuples(st.sampled_from(["path", "text", "Text", "id"]), st.sampled_from(VALUES)), min_size=1, max_size=4
    ),
    st.sampled_from(["lines", "list", "mapping"]),
)


def what_json_says(case):
    """Every row has what its object says, once; NaN, infinity and names twice are one sentence."""
    pairs, kind = case
    odd = "{" + ", ".join(f"{json.dumps(name)}: {value}" for name, value in (("wav", '"b.wav"'), *pairs)) + "}"
    good = '{"wav": "a.wav", "text": "neno"}'
    content = {"lines": f"{good}\n{odd}\n", "list": f"[{good}, {odd}]", "mapping": f'{{"a": {good}, "b": {odd}}}'}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.json"
        path.write_text(content[kind], encoding="utf-8")
        rows = refused_or(lambda: tables.read_rows(path), path)
    names = [name for name, _ in pairs]
    if rows is None:
        return
    assert len(names) == len(set(names)) and not {"NaN", "Infinity", "-Infinity"} & {value for _, value in pairs}
    assert len(rows) == 2 and rows[0].get("text") == "neno"


def test_json():
    all_hold("JSON manifests", ENTRIES, what_json_says)


SPACED = st.tuples(st.text(" a\u00a0\t", min_size=1, max_size=4), st.text(" b", min_size=1, max_size=3), st.booleans())


def spaces_are_of_the_name(case):
    """The file that is written is found; where it is not there, the one without spaces around its name."""
    folder, name, both = case
    with tempfile.TemporaryDirectory() as scratch:
        written_so = Path(scratch) / folder / f"{name}.wav"
        trimmed = Path(scratch) / folder.strip() / f"{name}.wav".strip()
        for path in (trimmed, written_so)[: 2 if both else 1]:
            path.parent.mkdir(exist_ok=True)
            path.touch()
        assert placing.Places().find(written_so) == (written_so if both else trimmed)


def test_spaces():
    all_hold("spaces in a manifest's paths", SPACED, spaces_are_of_the_name)


def test_a_path_is_as_written(tmp_path):
    """Spaces at its ends too, which a table's reader must not take away."""
    (tmp_path / "m.csv").write_text("path,text\n a.wav,neno\n", encoding="utf-8")
    assert tables.read_rows(tmp_path / "m.csv")[0].get("path") == " a.wav"


def test_a_text_of_any_length(tmp_path):
    """A number of 100,000 digits that was read out is longer than what Python's reader takes by itself."""
    write_manifest(tmp_path / "m.csv", [Utterance("a", "a.flac", 1.0, "saba " * 100_000, "", "s", "sw", "test")])
    assert len(read_manifest(tmp_path / "m.csv")[0].text) == 500_000


def test_planted_faults(monkeypatch):
    """Rows that nobody looks for inside others, and a reader that takes what comes as well."""
    real = csv.reader
    monkeypatch.setattr(tables, "_swallowed", lambda *_: "")
    assert is_found(QUOTED, no_row_is_lost)
    monkeypatch.setattr(tables.csv, "reader", lambda *args, strict, **more: real(*args, **more))
    assert is_found(QUOTED, no_row_is_lost)


def test_planted_faults_of_json_and_names(monkeypatch):
    """Python's own reader of JSON, and names that are trimmed before they are looked for."""
    monkeypatch.setattr(tables, "_json_of", lambda text, where: json.loads(text))
    assert is_found(ENTRIES, what_json_says)
    real = placing.Places.find
    monkeypatch.setattr(placing.Places, "find", lambda self, path: real(self, path.with_name(path.name.strip())))
    assert is_found(SPACED, spaces_are_of_the_name)
