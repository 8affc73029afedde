"""A manifest reads back as it was written, and says where it is wrong."""

import dataclasses
import pickle
import weakref
from pathlib import Path

import pytest
import torch

from serenanet_modules.data import listed
from serenanet_modules.data.listed import Listed
from serenanet_modules.data.manifest import (
    NEEDED,
    Candidate,
    Utterance,
    read_manifest,
    write_manifest,
    written_by_people,
)
from serenanet_modules.errors import UserError

FIRST = Utterance("u1", "audio/u1.flac", 16001 / 16000, 'ng\'ombe, "wa" $x', "", "s", "sw", "train")
SECOND = Utterance("u2", "audio/u2.flac", 0.7, "", "ŋ o m b e | w a", "s2", "sw", "test")
THIRD = dataclasses.replace(FIRST, id="u3", weight=0.3, labelled_by="sw/serenanet/1986", recording="radio")


def lines(*rows):
    return "\n".join([",".join(NEEDED), *rows]) + "\n"


def test_round_trip_is_exact(tmp_path):
    write_manifest(tmp_path / "m.csv", [FIRST, SECOND, THIRD])
    assert read_manifest(tmp_path / "m.csv") == [FIRST, SECOND, THIRD]
    assert read_manifest(tmp_path / "m.csv", "test") == [SECOND]
    assert read_manifest(tmp_path / "m.csv", "dev") == []


def test_writing_a_repeated_id_leaves_no_file(tmp_path):
    with pytest.raises(UserError, match="'u1' is there twice"):
        write_manifest(tmp_path / "m.csv", [FIRST, FIRST])
    assert not list(tmp_path.iterdir())


def test_columns_that_need_not_be_there(tmp_path):
    """A weight is 1, people wrote the text, and the audio is a file of its own."""
    (tmp_path / "m.csv").write_text(lines("u1,a.flac,1,t,,s,sw,train"))
    (row,) = read_manifest(tmp_path / "m.csv")
    assert (row.weight, row.labelled_by, row.recording) == (1.0, "", "")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,path\nu1,a.flac\n", "line 1 lacks the column.*duration, text"),
        ("", "line 1 lacks"),
        (lines("u1,a.flac,long,t,,s,sw,train"), "line 2: .*'long'"),
        (lines("u1,a.flac,1,t,,s,sw,train", "u2,a.flac,-1,t,,s,sw,train"), "line 3: .*positive"),
        (lines("u1,a.flac,nan,t,,s,sw,train"), "line 2: .*positive"),
        (lines("u1,a.flac,1,t,,s,sw,valid"), "line 2: split is 'valid'"),
        (lines("u1,a.flac,1,t,,s,sw"), "line 2: .*too few columns"),
        (
            lines("u1,a.flac,1,t,,s,sw,train").replace("split", "split,weight").replace("train", "train,-1"),
            "weight is -1",
        ),
        (lines(",a.flac,1,t,,s,sw,dev"), "line 2: id is empty"),
        (lines(*["u1,a.flac,1,t,,s,sw,dev"] * 2), "line 3: the id 'u1' is there twice"),
    ],
)
def test_errors_name_file_and_line(tmp_path, content, message):
    (tmp_path / "m.csv").write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        read_manifest(tmp_path / "m.csv")
    assert str(tmp_path / "m.csv") in str(caught.value)


def test_no_manifest_and_no_text(tmp_path):
    with pytest.raises(UserError, match="no such manifest"):
        read_manifest(tmp_path / "m.csv")
    (tmp_path / "m.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not a UTF-8"):
        read_manifest(tmp_path / "m.csv")
    with pytest.raises(ValueError, match="split"):
        read_manifest(tmp_path / "m.csv", "valid")


def test_named_sets_belong_to_a_role(tmp_path):
    """A role reads all of its sets, a name that set alone."""
    clean, other = (dataclasses.replace(SECOND, id=f"u-{name}", split=f"test-{name}") for name in ("clean", "other"))
    write_manifest(tmp_path / "m.csv", [FIRST, clean, other])
    assert read_manifest(tmp_path / "m.csv", "test") == [clean, other]
    assert read_manifest(tmp_path / "m.csv", "test-other") == [other]
    for split in ("train-clean", "test-", "test-a/b", "Test"):
        with pytest.raises(ValueError, match="split is"):
            dataclasses.replace(SECOND, split=split)


def test_a_candidate_checks_its_segment():
    whole = Candidate("u", Path("a.wav"), "", "", "sw", "train")
    assert not whole.is_segment and dataclasses.replace(whole, start=0.0, end=2.0).is_segment
    for start, end in ((2.0, 1.0), (-1.0, None), (1.0, 1.0)):
        with pytest.raises(ValueError, match="segment"):
            dataclasses.replace(whole, start=start, end=end)


def test_an_utterance_checks_itself():
    with pytest.raises(ValueError, match="path is empty"):
        dataclasses.replace(FIRST, path="")


# --- rows that are read when they are asked for -----------------------------------------------------------------------


def test_listed_rows_are_those_of_the_list(tmp_path):
    """Texts of several lines and of any script too, and in another process; the mean weight of a set may be made 1."""
    odd = [dataclasses.replace(FIRST, id=f"o{i}", text=t) for i, t in enumerate(('a\nb "c"', "ŋ’ö\u2028x", ", ,"))]
    write_manifest(tmp_path / "m.csv", [FIRST, *odd, SECOND, THIRD])
    rows = Listed(tmp_path / "m.csv")
    assert list(rows) == read_manifest(tmp_path / "m.csv") and rows[-1] == THIRD and rows[torch.tensor(1)] == odd[0]
    assert list(rows.of("test")) == [SECOND] and list(rows.of("dev")) == []
    train = rows.of("train").of_mean_weight_one()
    assert rows.durations.tolist() == [u.duration for u in rows] and len(train) == 5
    assert train[4] == dataclasses.replace(THIRD, weight=train.weights[4]) and train.weights.mean() == pytest.approx(1)
    (tmp_path / "m.csv").unlink()
    assert rows[3] == odd[2]


def test_rows_that_people_wrote_are_read_one_by_one(tmp_path):
    """Where there are some, others are left out; none is held for longer than it is used."""
    write_manifest(tmp_path / "m.csv", [FIRST, THIRD])
    rows = Listed(tmp_path / "m.csv")
    assert list(written_by_people(rows)) == [rows[0]]
    assert list(written_by_people([THIRD, THIRD])) == [THIRD, THIRD] and list(written_by_people([])) == []
    write_manifest(tmp_path / "many.csv", [dataclasses.replace(FIRST, id=f"u{i}") for i in range(20)])
    alive = weakref.WeakSet()
    for row in written_by_people(Listed(tmp_path / "many.csv")):
        alive.add(row)
        assert len(alive) <= 2


def test_listed_rows_in_another_process(tmp_path):
    write_manifest(tmp_path / "m.csv", [FIRST, SECOND])
    assert list(pickle.loads(pickle.dumps(Listed(tmp_path / "m.csv").of("test")))) == [SECOND]


def test_listed_ids_that_differ_in_all_but_their_hash(tmp_path, monkeypatch):
    """Are different ids; equal ones are refused by their line."""
    monkeypatch.setattr(listed, "hash", lambda name: 7, raising=False)
    write_manifest(tmp_path / "m.csv", [FIRST, SECOND, THIRD])
    assert len(Listed(tmp_path / "m.csv")) == 3
    with open(tmp_path / "m.csv", "a", encoding="utf-8") as file:
        file.write("u2,a.flac,1,t,,s,sw,train,1,,\n")
    with pytest.raises(UserError, match="line 5: the id 'u2' is there twice"):
        Listed(tmp_path / "m.csv")
