"""Manifests become candidates: paths, segments, ids, and splits that nobody gave."""

import json
from collections import Counter

import pytest

from serenanet_modules.data.custom import candidates
from serenanet_modules.data.sifting import spoken
from serenanet_modules.data.tables import COLUMNS
from serenanet_modules.errors import LayoutError, UserError


def tsv(path, *rows, head="path\ttext"):
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return path


def test_paths_start_at_the_manifest_or_at_the_root(tmp_path):
    """``$data_root`` in each of its spellings, relative and absolute paths."""
    rows = ["a.wav\tx", "$data_root/b.wav\tx", "{data_root}/c.wav\tx", "/other/d.wav\tx"]
    file = tsv(tmp_path / "train.tsv", *rows)
    here = [str(c.path) for c in candidates(file, "sw")]
    assert here == [f"{tmp_path}/a.wav", f"{tmp_path}/b.wav", f"{tmp_path}/c.wav", "/other/d.wav"]
    root = tmp_path / "data"
    root.mkdir()
    there = [str(c.path) for c in candidates(file, "sw", data_root=str(root))]
    assert there == [f"{root}/a.wav", f"{root}/b.wav", f"{root}/c.wav", "/other/d.wav"]
    with pytest.raises(UserError, match="there is no such folder; relative paths"):
        candidates(file, "sw", data_root=str(tmp_path / "none"))


def test_nemo_offsets_and_durations(tmp_path):
    """offset and duration are a segment; a duration alone is not."""
    lines = [
        {"audio_filepath": "long.wav", "text": "a", "offset": 2.0, "duration": 1.5},
        {"audio_filepath": "long.wav", "text": "b", "offset": 0, "duration": 2},
        {"audio_filepath": "whole.wav", "text": "c", "duration": 3.0},
    ]
    file = tmp_path / "train_manifest.json"
    file.write_text("\n".join(map(json.dumps, lines)))
    found = candidates(file, "sw")
    assert [(c.start, c.end) for c in found] == [(2.0, 3.5), (0.0, 2.0), (0.0, None)]
    assert [c.id for c in found] == ["long-2.00-3.50", "long-0.00-2.00", "whole"]
    assert {c.split for c in found} == {"train"}


def test_the_files_of_a_folder_are_named_after_their_splits(tmp_path):
    for name in ("train.csv", "valid_manifest.json", "test-clean.csv", "test_other.csv"):
        content = json.dumps([{"path": name, "text": "x"}]) if name.endswith("json") else f"path,text\n{name},x\n"
        (tmp_path / name).write_text(content)
    (tmp_path / "notes.csv").write_text("not,a,manifest\n")
    assert Counter(c.split for c in candidates(tmp_path, "sw")) == {
        "train": 1, "dev": 1, "test-clean": 1, "test-other": 1
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_hugging_face_folders_have_a_list_in_each_split(tmp_path, kind):
    for split in ("train", "validation", "test"):
        row = {"csv": "file_name,transcription\na.wav,x\n", "jsonl": '{"file_name": "a.wav", "transcription": "x"}\n'}
        (tmp_path / split).mkdir()
        (tmp_path / split / f"metadata.{kind}").write_text(row[kind])
    found = candidates(tmp_path, "sw")
    assert {(c.split, c.path) for c in found} == {
        (split, tmp_path / name / "a.wav")
        for split, name in (("train", "train"), ("dev", "validation"), ("test", "test"))
    }


def test_split_column(tmp_path):
    rows = ["a\tx\ttrain", "b\tx\tValidation", "c\tx\ttest_clean", "d\tx\teval"]
    found = candidates(tsv(tmp_path / "m.tsv", *rows, head="path\ttext\tsplit"), "sw")
    assert [c.split for c in found] == ["train", "dev", "test-clean", "test"]


def test_without_splits_no_speaker_crosses(tmp_path, caplog):
    """Every speaker is on one side, each side has its share, and another seed gives another split."""
    rows = [f"{i}.wav\tneno {i}\ts{i % 20}" for i in range(200)]
    file = tsv(tmp_path / "m.tsv", *rows, head="path\ttext\tspeaker")
    found = candidates(file, "sw")
    assert Counter(c.split for c in found) == {"train": 160, "dev": 20, "test": 20}
    assert len({(c.speaker, c.split) for c in found}) == 20
    assert found == candidates(file, "sw") and found != candidates(file, "sw", split_seed=1)
    half = candidates(file, "sw", shares={"train": 0.5, "dev": 0.5})
    assert Counter(c.split for c in half) == {"train": 100, "dev": 100}
    assert not caplog.records


def test_a_lone_speaker_is_split_by_sentence_or_recording_with_a_warning(tmp_path, caplog):
    rows = [f"{i}.wav\tneno {i % 50}\ts" for i in range(100)]
    found = candidates(tsv(tmp_path / "m.tsv", *rows, head="path\ttext\tspeaker"), "sw")
    assert len({(c.text, c.split) for c in found}) == 50 and len({c.split for c in found}) == 3
    assert "names 1 speaker, so it is split by sentence" in caplog.text
    rows = [f"{i // 10}.wav\tneno {i}\t{i % 10}\t{i % 10 + 1}" for i in range(100)]
    found = candidates(tsv(tmp_path / "m.tsv", *rows, head="path\ttext\tstart\tend"), "sw")
    assert len({(c.path, c.split) for c in found}) == 10 and len({c.split for c in found}) == 3
    assert "names no speakers, so it is split by recording" in caplog.text and "train has" not in caplog.text


def test_of_few_recordings_train_gets_its_share(tmp_path, caplog):
    """By sentence, where a split by recording would leave too little; as it is asked for; and what that leaves."""
    many = [(0, 10), (1, 8), (2, 6)]
    rows = [f"{i}.wav\tneno {i} {j}\t{j}\t{j + 1}\ts" for i, count in many for j in range(count)]
    file = tsv(tmp_path / "m.tsv", *rows, head="path\ttext\tstart\tend\tspeaker")
    assert Counter(c.split for c in candidates(file, "sw")) == {"train": 20, "dev": 2, "test": 2}
    assert "so it is split by sentence, and a speaker may be in train and test" in caplog.text
    assert "there are only 3, and with whole recordings train would have 42 % of the utterances" in caplog.text
    caplog.clear()
    by_recording = candidates(file, "sw", split_by="recording")
    assert Counter(c.split for c in by_recording) == {"train": 10, "dev": 8, "test": 6}
    assert [r.getMessage() for r in caplog.records] == [
        f"{file}: train has 42 % of the utterances, since there are only 3 recordings"
    ]
    with pytest.raises(UserError, match="24 utterances cannot be split by speaker into train, dev and test"):
        candidates(file, "sw", split_by="speaker")
    with pytest.raises(UserError, match="split_by: must be speaker, recording, sentence or null, not 'file'"):
        candidates(file, "sw", split_by="file")


def test_few_speakers_stay_apart(tmp_path, caplog):
    """With a line on what train has, and on what would give it more."""
    rows = [f"{i}.wav\tneno {i}\ts{i % 3}" for i in range(30)]
    found = candidates(tsv(tmp_path / "m.tsv", *rows, head="path\ttext\tspeaker"), "sw")
    assert len({(c.speaker, c.split) for c in found}) == 3
    told = "train has 33 % of the utterances, since there are only 3 speakers; --split_by sentence gives it 80 %"
    assert [r.getMessage() for r in caplog.records] == [f"{tmp_path / 'm.tsv'}: {told}"]


@pytest.mark.parametrize(
    ("head", "rows", "message"),
    [
        ("path\ttext\tsplit", ["a\tx\ttrain", "b\tx\tdevel"], "m.tsv: line 3: split is 'devel'; it must be train, dev"),
        ("path\ttext\tsplit", ["a\tx\ttrain", "b\tx\t"], "line 3: has no split, where other lines have one"),
        ("id\tpath\ttext", ["u\ta\tx", "v\tb\tx", "u\tc\tx"], "line 4: the id 'u' is there twice, first in line 2"),
        ("path\ttext", ["a\tx", "a\ty"], "line 3: the id 'a' is there twice, first in line 2"),
        ("path\ttext\tstart", ["a\tx\tsoon"], "line 2: start is 'soon', it must be a number of seconds"),
        ("path\ttext\tstart", ["a\tx\t-1"], "line 2: start is '-1'"),
        ("path\ttext\tstart\tend", ["a\tx\t2\t1.5"], "line 2: the segment ends at 1.5 s and starts at 2 s"),
        ("path\tspeaker", ["a\ts"], "no row has a text"),
        ("path\ttext", ["a\tx"], "m.tsv: 1 utterance cannot be split into train, dev and test"),
        ("path\ttext", ["a\tx", "b\tx"], "2 utterances cannot be split into train, dev and test; add a column 'split'"),
    ],
)
def test_errors_name_file_and_line(tmp_path, head, rows, message):
    with pytest.raises(UserError, match=message.replace("(", r"\(")):
        candidates(tsv(tmp_path / "m.tsv", *rows, head=head), "sw")


def test_a_manifest_without_texts_shows_what_it_has(tmp_path):
    """Beside all names of the column, which are those that are read."""
    names = "the column is called text, sentence, wrd, transcription or transcript"
    assert all(name in names for name in COLUMNS["text"])
    told = f"m.tsv: no row has a text; {names}; it reads 'path\\\\ttekst'."
    with pytest.raises(UserError, match=told):
        candidates(tsv(tmp_path / "m.tsv", "a\tx", head="path\ttekst"), "sw")
    (tmp_path / "m.json").write_text('[\n  {"path": "a", "tekst": "x"}\n]')
    with pytest.raises(UserError, match="transcript; it reads '.*tekst"):
        candidates(tmp_path / "m.json", "sw")


def test_folders_that_are_no_corpus(tmp_path):
    with pytest.raises(LayoutError, match="holds no manifest"):
        candidates(tmp_path, "sw")
    for name in ("one.tsv", "two.tsv"):
        tsv(tmp_path / name, "a\tx")
    with pytest.raises(UserError, match="which of one.tsv, two.tsv is the manifest"):
        candidates(tmp_path, "sw")


def test_shares_that_are_none(tmp_path):
    file = tsv(tmp_path / "m.tsv", *(f"{i}\tx{i}" for i in range(5)))
    for shares in ({"train": 0.5, "dev": 0.1}, {"train": 0.9, "valid": 0.1}, {"train": 0.0, "dev": 1.0}):
        with pytest.raises(UserError, match="shares: .*add up to 1"):
            candidates(file, "sw", shares=shares)


def test_a_corpus_has_its_own_conventions(tmp_path, caplog):
    """Rules apply in their order, before anything else; what each did is said."""
    file = tsv(tmp_path / "test.tsv", "a.wav\t<moja> mbili", "b.wav\tsh <x> (tatu)", "c.wav\t??? nne")
    rules = tmp_path / "rules.tsv"
    rules.write_text("# ours\ndrop\t/[<>]/\n\nreplace\tmoja\tsh\nreplace\tsh\tx\nskip\t???\n")
    assert [(c.id, c.text) for c in candidates(file, "sw", clean=rules)] == [("a", "x mbili"), ("b", "x x (tatu)")]
    assert "line 2: drop /[<>]/: 4 ×, such as '<moja> mbili' -> 'moja mbili'" in caplog.text
    assert "line 6: skip ???: 1 ×, such as '??? nne'" in caplog.text
    rules.write_text("skip\t/.*/\n")
    with pytest.raises(UserError, match="test.tsv: --clean .*rules.tsv leaves nothing of its 3 texts"):
        candidates(file, "sw", clean=rules)
    for wrong in ("drop", "drop\t", "lose\tx", "replace\tx", "drop\t/(/", "drop\tx\ty"):
        rules.write_text(f"# ours\n{wrong}\n")
        with pytest.raises(UserError, match="rules.tsv: line 2"):
            candidates(file, "sw", clean=rules)


def test_files_are_found_under_names_of_other_systems(tmp_path, caplog):
    """Backslashes, clips beside the list, another case or Unicode form, which is said once."""
    for name in ("a/b.wav", "clips/c.wav", "clips/\u00e9.wav", "clips/D.WAV"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    file = tsv(tmp_path / "test.tsv", "a\\b.wav\tx", "c.wav\tx", "e\u0301.wav\tx", "clips\\d.wav\tx", "no.wav\tx")
    found = [c.path.relative_to(tmp_path).as_posix() for c in candidates(file, "sw")]
    assert found == ["a/b.wav", "clips/c.wav", "clips/\u00e9.wav", "clips/D.WAV", "no.wav"]
    assert caplog.text.count("differs in case or Unicode form") == 1


def test_letters_give_phonemes(tmp_path, caplog):
    """The longest run counts, in words of the normalised text; what a corpus says stays; other letters are named."""
    file = tsv(tmp_path / "test.tsv", "a.wav\tNGaa na X!\t", "b.wav\tna\tN A", head="path\ttext\tphonemes")
    table = tmp_path / "letters.txt"
    table.write_text("# ours\nng ŋ\nn n\n\na a\naa a:\n", encoding="utf-8")
    found = candidates(file, "xx", letter_to_sound=table)
    assert [c.phonemes for c in found] == ["ŋ a: | n a", "N A"]
    assert "has no phoneme for x (1); these letters are left out" in caplog.text
    for wrong in ("n", "n n n", "n n\nn m", "", "# ours"):
        table.write_text(wrong)
        with pytest.raises(UserError, match="letters.txt: "):
            candidates(file, "xx", letter_to_sound=table)


def test_a_corpus_with_phonemes_needs_no_rules(tmp_path):
    """Preparation asks for rules of a language only where a text has no phonemes."""
    file = tsv(tmp_path / "test.tsv", "a.wav\tna\tn a", head="path\ttext\tphonemes")
    assert list(spoken(candidates(file, "xx"))) == ["n a"]
    with pytest.raises(UserError, match="--letter_to_sound"):
        list(spoken(candidates(tsv(tmp_path / "test.tsv", "a.wav\tna"), "xx")))


def test_a_column_of_locales_without_the_one_that_was_asked_for_is_told(tmp_path, caplog):
    """Rows say their own; of a pool of languages nothing is said where one of them was asked for."""
    file = tsv(tmp_path / "train.tsv", "a.wav\tx\tlg", "b.wav\ty\tnyn", head="path\ttext\tlocale")
    assert [c.locale for c in candidates(file, "lg")] == ["lg", "nyn"] and not caplog.records
    candidates(file, "sw")
    assert "train.tsv: its column locale says lg, nyn, whose text rules are used, not those of sw" in caplog.text
