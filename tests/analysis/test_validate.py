"""`serenanet validate` says what a training would find, and whether it could start."""

import shutil

import pytest
from PIL import Image

from serenanet_modules import cli
from tests.support import layouts
from tests.support.layouts import noise
from tests.support.tiny import make_corpus, read_tsv, write_tsv


@pytest.fixture
def validate(capsys):
    def run(*arguments):
        status = cli.main(["validate", *map(str, arguments)])
        return status, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("validate") / "sw")


def test_a_corpus_that_can_train(validate, release, tmp_path):
    """The layout is guessed; hours, characters and a figure are there, and nothing is written into the corpus."""
    before = sorted(release.rglob("*"))
    status, out, _ = validate(release, "--locale", "sw", "--plot", tmp_path / "figure.png")
    assert status == 0 and out.startswith("36 utterances, read as CommonVoice (language: sw)")
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line.startswith(("train ", "dev ", "test "))}
    assert [rows[split][3] for split in ("train", "dev", "test")] == ["24", "6", "6"]
    assert "characters of train" in out and "A training can start." in out and "--decode also finds" in out
    told = "Train has only {1} {2}, too little to train a model from nothing; start from".format(*rows["train"])
    assert told in out
    assert Image.open(tmp_path / "figure.png").size == (1320, 960)
    assert sorted(release.rglob("*")) == before


def test_what_is_odd_is_named(validate, release, tmp_path):
    """Rejects with reasons, sentences and speakers that cross, outliers, rare characters."""
    folder = shutil.copytree(release, tmp_path / "sw")
    train, test = read_tsv(folder / "train.tsv"), read_tsv(folder / "test.tsv")
    train[0]["sentence"] = "Ndiyo x."
    test[0] |= {"sentence": train[1]["sentence"], "client_id": train[1]["client_id"]}
    write_tsv(folder / "train.tsv", train)
    write_tsv(folder / "test.tsv", test)
    cut = folder / "clips" / train[2]["path"]
    cut.write_bytes(cut.read_bytes()[:-500])
    (folder / "clips" / train[3]["path"]).unlink()
    status, out, _ = validate(folder, "--locale", "sw", "--recipe", "recipes/CommonVoice", "--decode")
    assert status == 0
    assert "A training can start, without 2 of 36 utterances (1 truncated, 1 missing)." in out
    assert "rejected from train: truncated (1)" in out and train[2]["path"] in out and train[3]["path"] in out
    assert "utterances of test whose sentence is in train too (1)" in out
    assert "speakers of test that also speak in train (1)" in out
    assert "x U+0078 latin small letter x" in out
    assert f"{train[0]['path'][:-4]}  " in out.partition("unusual speech rates")[2]


def test_what_the_text_rule_changes_is_named(validate, tmp_path):
    """Marks, round brackets, numbers that can be said in several ways, every character that does not stay."""
    texts = [
        "[kelele] ka\ua789ma %UH",
        "na~lima [kelele]",
        "simu 0712 345 678",
        "tarehe 12/5/2019 (ya jana)",
        "bei 3.50 (4.5)",
        "sawa ~!",
    ]
    rows = [f"{i}.wav\t{text}\ts{i}" for i, text in enumerate(texts)]
    (tmp_path / "m.tsv").write_text("\n".join(["path\ttext\tspeaker", *rows]) + "\n", encoding="utf-8")
    for i in range(len(texts)):
        noise(tmp_path / f"{i}.wav")
    _, out, _ = validate(tmp_path / "m.tsv", "--locale", "xx")
    assert "left out of texts (see --marks) (4)\n  [kelele]  2 ×  [kelele] ka\ua789ma %…\n  %UH  1 ×" in out
    assert "text in round brackets, taken as spoken (1)\n  (ya jana)  1 ×" in out
    told = out.partition("numbers whose words may differ")[2]
    assert all(f"  {number}  1 ×" in told for number in ("0712 345 678", "12/5/2019", "3.50")) and "4.5" not in told
    changed = out.partition("characters the text rules remove or replace (6); to keep a letter, see --clean FILE\n")[
        2
    ].splitlines()[:6]
    assert changed[0] == "  ~ U+007E tilde  2 ×  sawa ~!" and "A789" not in "".join(changed)
    assert [line.split()[0] for line in changed] == ["~", "/", "!", "(", ")", "."]


@pytest.mark.parametrize(("locale", "without"), [("lug", True), ("swa", False)])
def test_a_language_without_rules_is_told(validate, tmp_path, locale, without):
    """Below the table, which a preparation shows too."""
    noise(tmp_path / "a.wav")
    (tmp_path / "train.tsv").write_text("path\ttext\na.wav\tabantu 21\n")
    _, out, _ = validate(tmp_path / "train.tsv", "--locale", locale)
    assert (f"note: default text rules are used; there are none for {locale}\n" in out) == without


def test_nothing_to_train_on(validate, tmp_path):
    """Status 1 where train or dev would be empty; the reasons are told."""
    (tmp_path / "train.tsv").write_text("path\ttext\na.wav\tneno\n")
    status, out, _ = validate(tmp_path / "train.tsv", "--locale", "sw")
    assert status == 1
    assert "problem: no train utterance is usable (1 missing)" in out
    assert "problem: there is no dev set; a training needs train and dev" in out


def test_options_of_a_recipe(validate, tmp_path):
    layouts.fleurs(tmp_path)
    status, out, _ = validate(tmp_path, "--recipe", "recipes/FLEURS", "--language", "sw_ke")
    assert status == 0 and "6 utterances, read as FLEURS (language: sw_ke)" in out
    status, _, err = validate(tmp_path, "--recipe", "recipes/FLEURS", "--language", "swke")
    assert status == 2 and "did you mean sw_ke" in err
    status, _, err = validate(tmp_path, "--recipe", "recipes/FLEURS", "--langage", "sw_ke")
    assert status == 2 and "unknown key 'langage'; did you mean 'language'?" in err
    status, _, err = validate(tmp_path, "--recipe", "recipes/FLEURS", "--language")
    assert status == 2 and "--key value" in err


def test_layouts_are_guessed(validate, tmp_path):
    for layout, name in ((layouts.mboshi, "Mboshi"), (layouts.swahili_speech, "SwahiliSpeech")):
        assert f"read as {name} " in validate(layout(tmp_path / name))[1]
    noise(tmp_path / "audio" / "a.wav")
    noise(tmp_path / "audio" / "b.wav")
    status, _, err = validate(tmp_path / "audio")
    told = "audio: holds 2 recordings but no transcriptions beside them (.eaf, .TextGrid, …); put them there, or give"
    assert status == 2 and told in err
    (tmp_path / "audio" / "notes.txt").write_text("habari")
    status, _, err = validate(tmp_path / "audio")
    assert status == 2 and "its layout is not recognised" in err
    status, out, _ = validate(tmp_path / "audio", "--unlabelled")
    assert status == 0 and "1 train utterance(s) have no text" in out and "Train has only" not in out
    (tmp_path / "audio" / "train.tsv").write_text("client_id\tpath\tsentence\n")
    status, _, err = validate(tmp_path / "audio")
    assert status == 2 and "there is no dev.tsv in this data folder" in err


def test_a_folder_of_nothing(validate, tmp_path):
    """With folders in it or not, whoever reads it."""
    (tmp_path / "none" / "below" / ".hidden").mkdir(parents=True)
    for more in ((), ("--unlabelled",), ("--recipe", "recipes/Custom")):
        status, out, err = validate(tmp_path / "none", "--locale", "sw", *more)
        assert (status, out) == (2, "") and f"{tmp_path / 'none'}: is empty; give" in err and err.count("\n") == 1


def test_options_that_cannot_be(validate, release, tmp_path):
    """Refused before the corpus is read."""
    status, out, err = validate(release, "--plot", tmp_path / "figure.bmp")
    assert (status, out) == (2, "") and "a figure's name ends in .png, .pdf, .svg" in err
    assert validate(release, "--jobs", "-1")[0] == 2


def test_what_is_too_small_to_split_is_described_all_the_same(validate, tmp_path):
    """Transcribers' marks are named, and what keeps a training from it is the one problem."""
    noise(tmp_path / "clip.wav")
    write_tsv(tmp_path / "one.tsv", [{"path": "clip.wav", "text": "[kelele] Kisu <unk> hiki"}])
    status, out, _ = validate(tmp_path / "one.tsv", "--locale", "sw")
    assert status == 1 and "marks, which are left out of texts (see --marks) (2)" in out
    assert out.rstrip().endswith("add a column 'split'.") and out.count("problem:") == 1


def test_recordings_of_several_utterances_have_a_table(validate, tmp_path):
    """What was read of each, and what was not; a recording that is missing takes no split away from others."""
    for name in "abcd":
        if name != "d":
            noise(tmp_path / f"{name}.wav", seconds=3.0)
        rows = [f"{1.5 * i}\t{1.5 * i + 1}\tHabari {i}\n" for i in range(2)]
        (tmp_path / f"{name}.txt").write_text("".join(rows) * (1 + 9 * (name == "d")))
    status, out, _ = validate(tmp_path, "--locale", "sw")
    table = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line[1:6] == ".wav "}
    assert status == 0 and sorted(row[0] for row in table.values()) == ["-", "dev", "test", "train"]
    assert table["a.wav"][1:] == ["2", "2.0", "24", "none"]
    assert table["d.wav"] == [
        "-",
        "0",
        "0.0",
        "0",
        "20",
        "missing",
    ]
