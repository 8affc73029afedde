"""A manifest keeps every text as it was written, or is refused with its file and line; nothing leaves its folder."""

import csv
import json
import os
import random
import unicodedata

import pytest

from serenanet_modules.data.corpora import read, unlabelled
from serenanet_modules.data.custom import candidates
from serenanet_modules.data.manifest import Candidate, read_manifest
from serenanet_modules.data.preparation import prepare
from tests.support.refusals import refusal, refused_or
from tests.support.sounds import tone, write

TEXTS = {
    "dollar": "bei ni $data ${HOME} $5",
    "quotes": "alisema \"njoo\", 'sasa' na “kesho”",
    "one quote": 'nusu " tu',
    "apostrophes": "ng’ombe ng'ambo ngʼoma",
    "commas": "moja, mbili; tatu | nne",
    "composed": unicodedata.normalize("NFC", "café ñandú ệ"),
    "decomposed": unicodedata.normalize("NFD", "café ñandú ệ"),
    "right to left": "مرحبا בעולם ‏abc‎",
    "zero width": "ha\u200dba\u200cri\u2060 \u00adyako",
    "astral": "𐐀 🦛 𝔞𝔟𝔠",
    "combining": "z̴̡͉a̷l̶g̵o̸",
    "backslashes": r"C:\new\table \t \n",
    "markup": "<script>alert(1)</script> &amp; %s {0} {data_root}",
    "formula": "=1+1",
    "spaces": "a\u00a0b\u3000c\u2009d",
    "no-break mark": "a\ufeffb",
    "number": "1e400",
    "null": "null",
    "line separator": "a\u2028b\u2029c\u0085d\x0bd\x0ce\x1ff",
}
BREAKS = {"tab": "a\tb", "newline": "a\nb", "return": "a\rb", "both": "a\r\n\tb"}  # which tsv cannot hold
NAMES = [
    "$HOME",
    "a'b",
    'a"b',
    "a b",
    "كلب",
    "ネコ",
    "e\u0301",
    "a%sb",
    "a;b",
    "a&b",
    "#a",
    "~",
    "-rf",
    "..a",
    "a\\b",
    "x" * 200,
]


def manifest(folder, kind, **columns):
    """A manifest of one utterance with these columns, as the kind is properly written."""
    path = folder / f"train.{kind}"
    if kind == "json":
        path.write_text(json.dumps([columns], ensure_ascii=False), encoding="utf-8")
    elif kind == "jsonl":
        path.write_text(json.dumps(columns) + "\n", encoding="utf-8")
    else:
        tabs = kind == "tsv"
        with open(path, "w", encoding="utf-8", newline="") as file:
            if tabs:
                file.write("\t".join(columns) + "\n" + "\t".join(columns.values()) + "\n")
            else:
                csv.writer(file).writerows([columns, columns.values()])
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write(tmp_path_factory.mktemp("clip") / "a.wav", tone(seconds=5.0))


# --- texts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["tsv", "csv", "json", "jsonl"])
@pytest.mark.parametrize("case", [*TEXTS, *BREAKS])
def test_texts_are_kept(tmp_path, clip, case, kind):
    """Any text, in any kind of manifest, as text, speaker and id; through preparation as far as it is not spelling."""
    if kind == "tsv" and case in BREAKS:
        pytest.skip("a tab-separated file has no way to write it")
    text = (TEXTS | BREAKS)[case]
    path = manifest(tmp_path, kind, path=str(clip), text=text, speaker=text, id=text)
    (found,) = candidates(path, "und")
    name = " ".join(text.split())
    assert (found.text, found.speaker, found.id) == (text.strip(), name, name)
    held_out = Candidate("held out", clip, "neno", "s", "und", "dev")
    prepared = prepare([found, held_out], tmp_path / "out", progress=False, jobs=1)
    (kept,) = read_manifest(prepared.manifest, "train") or [None]
    assert kept is None or (kept.id, kept.speaker) == (name, name)
    assert kept or prepared.summary["splits"]["train"]["rejected"]


@pytest.mark.parametrize("name", TEXTS)
def test_forms_of_unicode_are_one(name):
    """Composed and decomposed spellings of a sentence are normalised alike, so that no sentence crosses unseen."""
    from serenanet_modules.data.text import normaliser

    for locale in ("sw", "en", "und", "mdw"):
        spell = normaliser(locale)
        composed, decomposed = (spell(unicodedata.normalize(form, TEXTS[name])) for form in ("NFC", "NFD"))
        assert composed == decomposed == spell(composed)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("kind", ["tsv", "csv", "jsonl"])
def test_marks_and_line_ends(tmp_path, kind, encoding, end):
    """Neither gets into a name, a path or a text, with and without an end of the last line."""
    rows = [("path", "text"), ("a.wav", "moja"), ("b.wav", "mbili")]
    lines = [(",\t"[kind == "tsv"]).join(row) for row in rows]
    if kind == "jsonl":
        lines = [json.dumps(dict(zip(rows[0], row, strict=True))) for row in rows[1:]]
    for last in ("", end):
        (tmp_path / f"train.{kind}").write_bytes((end.join(lines) + last).encode(encoding))
        found = refused_or(lambda: candidates(tmp_path / f"train.{kind}", "sw"), tmp_path)
        if end == "\r" and found is None:
            continue  # old Macs' lines may be refused, but not misread
        assert [(c.path, c.text) for c in found] == [(tmp_path / name, text) for name, text in rows[1:]]


# --- paths ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_names_of_clips(tmp_path, name):
    """A clip with any name is prepared, and only inside the folder that was asked for."""
    write(tmp_path / f"{name}.wav", tone(seconds=1.5))
    rows = [{"path": f"{name}.wav", "text": "neno moja", "split": "train"}]
    rows.append({**rows[0], "split": "dev", "id": "dev"})
    (tmp_path / "all.json").write_text(json.dumps(rows), encoding="utf-8")
    prepared = prepare(candidates(tmp_path / "all.json", "sw"), tmp_path / "out", progress=False, jobs=1)
    (u,) = read_manifest(prepared.manifest, "train")
    assert (prepared.folder / u.path).resolve().is_relative_to(tmp_path / "out" / "audio")
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.wav", "all.json", "out"}


@pytest.mark.parametrize(
    "path",
    ["../../../etc/passwd", "/etc/passwd", "/dev/zero", "..", "/", "no\0pe.wav", "x" * 400, "a/" * 3000, "file:///a.wav",
     "http://localhost/a.wav", "|ls", "$data_root", "{data_root}/../x", "~/a.wav", "C:\\a.wav", "con", "a.wav\n", "-"],
    ids=lambda path: ascii(path)[:20],
)  # fmt: skip
def test_paths_that_lead_elsewhere(tmp_path, clip, path):
    """What is no audio is a reject with its name and reason; nothing is followed, run or written there."""
    rows = [{"path": path, "text": "neno moja", "split": "train"}, {"path": str(clip), "text": "neno", "split": "dev"}]
    (tmp_path / "all.json").write_text(json.dumps(rows), encoding="utf-8")
    found = candidates(tmp_path / "all.json", "sw")
    said = refusal(lambda: prepare(found, tmp_path / "out", progress=False, jobs=1), "No train utterance is usable")
    assert "1 missing" in said or "1 undecodable" in said
    with open(next((tmp_path / "out").glob("*/rejects.tsv")), encoding="utf-8") as file:
        (row,) = csv.DictReader(file, delimiter="\t")
    assert row["path"] == str(found[0].path) and row["reason"] in ("missing", "undecodable")


def test_names_that_are_no_text(tmp_path):
    """Audio alone from systems with other encodings is prepared under names that a manifest can hold."""
    for i, name in enumerate((b"kahawa \xff.wav", b"kahawa \xfe.wav", b"moto.wav", b"\xe9/a.flac")):
        path = tmp_path / "audio" / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write(tmp_path / "a.wav", tone(seconds=1.0 + i / 10)).rename(path)
    found = unlabelled(tmp_path / "audio", "sw")
    split = [Candidate(c.id, c.path, "", c.speaker, "sw", "dev" if c.id == "moto" else "train") for c in found]
    from serenanet_modules.data.preparation import Settings

    prepared = prepare(split, tmp_path / "out", Settings(needs_text=False), progress=False, jobs=1)
    assert {u.id for u in read_manifest(prepared.manifest)} == {"kahawa \\xff", "kahawa \\xfe", "moto", "\\xe9-a"}


# --- what is refused --------------------------------------------------------------------------------------------------

HEADS = [
    "text",
    "wav_path\ttext",
    "path",
    "sentence\tid",
    "",
    " ",
    "path\tpath\ttext",
    "\ufeff\ufeffpath\ttext",
    "path;text\tx",
]


@pytest.mark.parametrize("head", HEADS, ids=ascii)
def test_missing_columns(tmp_path, head):
    """Table without a path, without any text, with two columns of one name."""
    (tmp_path / "train.tsv").write_text(f"{head}\n" + "\t".join("a" for _ in head.split("\t")) + "\n", encoding="utf-8")
    refusal(lambda: candidates(tmp_path / "train.tsv", "sw"), tmp_path / "train.tsv")


@pytest.mark.parametrize("head", ["path\tPath\ttext", "text\ttext\tpath", "path\ttext\tsplit\tSplit"])
def test_columns_that_are_there_twice(tmp_path, head):
    """Which of them counts is nobody's guess."""
    values = {"path": "a.wav", "text": "b", "split": "train"}
    row = "\t".join(values[name.lower()] for name in head.split("\t"))
    (tmp_path / "train.tsv").write_text(f"{head}\n{row}\n", encoding="utf-8")
    refusal(lambda: candidates(tmp_path / "train.tsv", "sw"), tmp_path / "train.tsv", "twice")


CONTENTS = {
    "brackets": "[" * 100_000,
    "a long number": '[{"path": "a", "text": "x", "start": ' + "9" * 5000 + "}]",
    "half a character": '[{"path": "a", "text": "\\ud800"}]',
    "half a path": '[{"path": "\\udfffa", "text": "x"}]',
    "not a number": '[{"path": "a", "text": "x", "start": NaN}]',
    "infinite": '[{"path": "a", "text": "x", "start": 1e999}]',
    "true": '[{"path": true, "text": "x"}]',
    "a list": '[{"path": ["a"], "text": "x"}]',
    "only text": '"path"',
    "a number": "3",
    "nothing": "",
    "null": "null",
    "empty list": "[]",
    "empty mapping": "{}",
    "no text": '[{"path": "a"}]',
    "no path": '[{"text": "a"}]',
    "twice": '[{"id": 1, "path": "a", "text": "x"}, {"id": "1", "path": "b", "text": "y"}]',
    "a key twice": '[{"path": "a", "path": "b", "text": "x"}]',
    "comment": '// list\n[{"path": "a", "text": "x"}]',
    "trailing comma": '[{"path": "a", "text": "x"},]',
    "cut": '[{"path": "a", "text": "x"}, {"pa',
    "zip": "PK\x03\x04\x00\x00",
    "deep line": '{"path": "a", "text": "x"}\n' + '{"path": ' * 50_000,
    "long line": '{"path": "a", "text": "x"}\n{"path": "b", "text": ' + "9" * 5000 + "}",
}


@pytest.mark.parametrize("name", CONTENTS)
def test_broken_json(tmp_path, name):
    (tmp_path / "train.json").write_text(CONTENTS[name], encoding="utf-8")
    refusal(lambda: candidates(tmp_path / "train.json", "sw"), tmp_path / "train.json")


@pytest.mark.parametrize("number", range(40))
def test_changed_manifests(tmp_path, number):
    """Bytes changed, lost or doubled anywhere: the utterances that are there, or a refusal that names the file."""
    rng, kind = random.Random(number), ("tsv", "csv", "json", "jsonl")[number % 4]
    path = manifest(tmp_path, kind, path="a.wav", text="neno moja", id="u", speaker="s")
    data = bytearray(path.read_bytes() * 2)
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(data))
        data[at : at + rng.randrange(3)] = rng.choice(
            [b"", b"\0", b"\xff", b'"', b"\n", b"\r", b"\t", b"{", b"]", rng.randbytes(2)]
        )
    path.write_bytes(data)
    found = refused_or(lambda: candidates(path, "sw"), path)
    assert found is None or all(c.id and c.split == "train" and "\n" not in c.path.name for c in found)


@pytest.mark.parametrize("name", ["nowhere", "a.txt", "folder", "pipe.tsv", "x" * 300 + ".tsv", "no\0pe.tsv"])
def test_what_is_no_manifest(tmp_path, name):
    (tmp_path / "a.txt").write_text("path\n")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe.tsv")
    refusal(lambda: read(f"{tmp_path}/{name}", "sw", candidates), str(tmp_path))


MANIFEST = "id,path,duration,text,phonemes,speaker,locale,split\nu,a.flac,1.0,neno,,s,sw,train\n"


@pytest.mark.parametrize(
    "old, new",
    [("duration", "seconds"), ("1.0", "nan"), ("1.0", "-1"), ("1.0", "soon"), ("train", "trian"), ("u,a", ",a"),
     ("a.flac", ""), (",sw,train", ""), ("neno", "x" * 200_000), (MANIFEST, ""), ("neno", '"ne'),
     ("\nu", "\nu,a,1,b,,s,sw,dev\nu")],
    ids=lambda text: text[:12],
)  # fmt: skip
def test_prepared_manifests(tmp_path, old, new):
    """What preparation wrote and somebody changed."""
    (tmp_path / "manifest.csv").write_text(MANIFEST.replace(old, new), encoding="utf-8")
    found = refused_or(lambda: read_manifest(tmp_path / "manifest.csv"), tmp_path / "manifest.csv")
    assert found is None or (len(new) > 100 and found[0].text == new)
