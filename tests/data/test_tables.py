"""Manifests of all kinds say the same, and what is wrong with one is said with file and line."""

import json

import pytest

from serenanet_modules.data.tables import read_rows
from serenanet_modules.errors import UserError

WANTED = [
    {"path": "a.wav", "text": 'habari "yako"', "speaker": "s1", "start": "1.5"},
    {"path": "b.wav", "text": "sawa"},
]
RECORDS = [
    {"audio_filepath": "a.wav", "text": 'habari "yako"', "speaker": "s1", "offset": 1.5, "mood": [1]},
    {"audio_filepath": "b.wav", "text": "sawa", "speaker": None},
]
KINDS = {
    "tsv": 'path\ttext\tspeaker\tstart\na.wav\thabari "yako"\ts1\t1.5\nb.wav\tsawa\t\t\n',
    "csv": 'wav,wrd,spk_id,start,mood\na.wav,"habari ""yako""",s1,1.5,x\n\nb.wav,sawa,,,\n',
    "semicolons.csv": 'File_Name;Sentence;client_id;offset\na.wav;"habari ""yako""";s1;1.5\nb.wav;sawa;;\n',
    "jsonl": "\n".join(map(json.dumps, RECORDS)) + "\n",
    "lines.json": "\n".join(map(json.dumps, RECORDS)),
    "json": json.dumps(RECORDS, indent=1),
}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("kind", KINDS)
def test_kinds_encodings_and_line_ends(tmp_path, kind, encoding, end):
    """A table is read alike with and without a byte order mark, with both line ends, under every column's names."""
    file = tmp_path / f"m.{kind}"
    file.write_bytes(KINDS[kind].replace("\n", end).encode(encoding))
    assert [row.values for row in read_rows(file)] == WANTED


def test_speechbrain_json_by_id(tmp_path):
    file = tmp_path / "m.json"
    file.write_text(json.dumps({"u1": {"wav": "{data_root}/a.wav", "length": 1.0, "words": "x"}, "u2": {"wav": "b"}}))
    rows = read_rows(file)
    assert [row.get("id") for row in rows] == ["u1", "u2"] and rows[0].where == f"{file}: entry u1"


def test_a_single_line_of_json_lines(tmp_path):
    (tmp_path / "m.jsonl").write_text(json.dumps(RECORDS[0]))
    assert [row.values for row in read_rows(tmp_path / "m.jsonl")] == WANTED[:1]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.txt", "path\n", "a manifest is a file that ends in .tsv, .csv"),
        ("m.tsv", "", "line 1 has no column for the path"),
        ("m.tsv", "a.wav\thabari\n", "line 1 has no column for the path .*'a.wav"),
        ("m.tsv", "path\ttext\n", "holds no utterance"),
        ("m.tsv", "path\ttext\na\tb\nc\n", "line 3 has 1 columns where line 1 has 2"),
        ("m.csv", "path,text\na,b,c\n", "line 2 has 3 columns where line 1 has 2"),
        ("m.tsv", "path\ttext\na\tb\n\tb\n", "line 3: the path is empty"),
        ("m.csv", b"path,text\na,caf\xe9\n", r"line 2 is not UTF-8 \(byte 0xe9\)"),
        ("m.jsonl", '{"path": "a"}\n{"path": }\n', "line 2 is not valid JSON"),
        ("m.json", '[{"path": "a"},\n{"path" "b"}]\n', "line 2 is not valid JSON"),
        ("m.json", '{"u": {"path": "a"}, "u": {"path": "b"}}', "'u' is there twice"),
        ("m.json", '[{"path": "a"}, 3]', "entry 2 is no JSON object"),
        ("m.json", '[{"path": {"file": "a"}}]', "entry 1: 'path' must be a text or a number"),
        ("m.jsonl", '{"path": "a"}\n{"text": "b"}\n', "line 2: none of the columns path, wav"),
    ],
)
def test_errors_name_file_and_line(tmp_path, name, content, message):
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=message) as caught:
        read_rows(file)
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)
