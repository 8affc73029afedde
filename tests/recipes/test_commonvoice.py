"""The Common Voice reader takes releases of all years, and says what is no release."""

import importlib.util
from pathlib import Path

import pytest

from serenanet_modules.errors import UserError

RECIPE = Path(__file__).parents[2] / "recipes" / "CommonVoice"


@pytest.fixture(scope="module")
def candidates():
    spec = importlib.util.spec_from_file_location("commonvoice_prepare", RECIPE / "prepare.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.candidates


@pytest.fixture
def release(tmp_path):
    (tmp_path / "clips").mkdir()
    for split in ("train", "dev", "test"):
        (tmp_path / f"{split}.tsv").write_text(
            "client_id\tpath\tsentence_id\tsentence\tup_votes\tlocale\n"
            f"speaker\t{split}_1.mp3\tx\tSentensi ya {split}.\t2\tsw\n",
            encoding="utf-8",
        )
    return tmp_path


def test_a_recent_release(release, candidates):
    clips = list(candidates(release, "sw"))
    assert [clip.split for clip in clips] == ["train", "dev", "test"]
    first = clips[0]
    assert first.id == "train_1" and first.path == release / "clips" / "train_1.mp3"
    assert (first.text, first.speaker, first.locale) == ("Sentensi ya train.", "speaker", "sw")


def test_the_first_releases_have_few_columns_and_no_extension(release, candidates):
    (release / "train.tsv").write_text("client_id\tpath\tsentence\na\t0123abcd\tHabari\n")
    assert next(candidates(release, "sw")).path.name == "0123abcd.mp3"


def test_quotation_marks_are_data(release, candidates):
    rows = ['a\tb.mp3\t"Ndiyo', "a\tc.mp3\tAlisema \"la\" 'si'", 'a\td.mp3\tHapana"']
    (release / "train.tsv").write_text("\n".join(["client_id\tpath\tsentence", *rows]) + "\n")
    texts = [clip.text for clip in candidates(release, "sw") if clip.split == "train"]
    assert texts == ['"Ndiyo', "Alisema \"la\" 'si'", 'Hapana"']


def test_byte_order_mark_crlf_and_any_order_of_columns(release, candidates):
    content = "sentence\tpath\tclient_id\r\nNg’ombe wangu\ta.mp3\tx\r\n"
    (release / "train.tsv").write_bytes(content.encode("utf-8-sig"))
    first = next(candidates(release, "sw"))
    assert (first.text, first.path.name, first.speaker) == ("Ng’ombe wangu", "a.mp3", "x")


def test_a_line_cut_short_is_left_to_preparation_to_reject(release, candidates):
    (release / "train.tsv").write_text("client_id\tpath\tsentence\nx\ta.mp3\n")
    assert next(candidates(release, "sw")).text == ""


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_a_missing_list(release, candidates, split):
    (release / f"{split}.tsv").unlink()
    with pytest.raises(UserError, match=f"there is no {split}.tsv"):
        candidates(release, "sw")


def test_the_folder_above_is_recognised(release, candidates, tmp_path):
    (tmp_path / "above").mkdir()
    (tmp_path / "above" / "sw").symlink_to(release)
    with pytest.raises(UserError, match="did you mean .*above/sw?"):
        candidates(tmp_path / "above", "sw")
    (tmp_path / "delta" / "sw").mkdir(parents=True)
    (tmp_path / "delta" / "sw" / "validated.tsv").touch()
    with pytest.raises(UserError, match="did you mean .*delta/sw?"):
        candidates(tmp_path / "delta", "sw")


def test_no_folder_no_clips_no_columns_no_text(release, candidates):
    with pytest.raises(UserError, match="no such folder; data_folder"):
        candidates(release / "nowhere", "sw")
    (release / "clips").rmdir()
    with pytest.raises(UserError, match="clips: there is no such folder"):
        candidates(release, "sw")
    (release / "dev.tsv").write_text("client_id\tfile\ttext\n")
    with pytest.raises(UserError, match=r"dev.tsv: line 1 lacks the column\(s\) path, sentence"):
        candidates(release, "sw")
    (release / "train.tsv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="cannot be read as a UTF-8"):
        candidates(release, "sw")


@pytest.mark.parametrize("locale", ["sw", "en"])
def test_a_locale_is_one_small_file(locale):
    lines = (RECIPE / locale / "dataset.yaml").read_text().splitlines()
    assert lines == [
        f"dataset: CommonVoice/{locale}",
        f"locale: {locale}",
        "prepare: ../prepare.py",
    ]
