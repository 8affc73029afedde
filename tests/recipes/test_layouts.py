"""Each recipe reads its corpus's original layout, and says what is missing in one that is not whole."""

import shutil
from collections import Counter

import pytest

from serenanet_modules.data import asked
from serenanet_modules.data.manifest import read_manifest
from serenanet_modules.data.preparation import Settings, prepare
from serenanet_modules.data.splitting import half
from serenanet_modules.errors import LayoutError, UserError
from tests.support import layouts
from tests.support.layouts import SCRIPTS, SENTENCES, candidates
from tests.support.tiny import ROOT


def splits(found):
    return Counter(c.split for c in found)


LIBRISPEECH = ("train-clean-100", "dev-clean", "dev-other", "test-clean", "test-other")


@pytest.mark.parametrize(
    ("name", "layout", "locale", "options"),
    [
        ("LibriSpeech", lambda folder: layouts.librispeech(folder, LIBRISPEECH), "en_librispeech", {}),
        ("FLEURS", layouts.fleurs, "sw_ke", {"language": "sw_ke"}),
        ("Mboshi", layouts.mboshi, "mdw", {}),
        ("SwahiliSpeech", layouts.swahili_speech, "sw", {}),
    ],
)
def test_every_recording_is_prepared(tmp_path, name, layout, locale, options):
    """The manifest has each utterance with its split and a normalised text, at the length of its audio."""
    found = candidates(name, layout(tmp_path / "corpus"), **options)
    prepared = prepare(found, tmp_path / "prepared", Settings(), progress=False)
    rows = {u.id: u for u in read_manifest(prepared.manifest)}
    assert {u.id: (u.split, u.locale) for u in rows.values()} == {c.id: (c.split, locale) for c in found}
    length = 1.2 if name == "LibriSpeech" else 1.0
    for c in found:
        said = next(sentence for sentence in SENTENCES if c.text.lower().startswith(sentence))
        assert rows[c.id].text.startswith(said) and rows[c.id].duration == pytest.approx(length)
        assert rows[c.id].speaker == c.speaker and not set(rows[c.id].text) & set(".,\u201c\u201d")


def test_librispeech_keeps_its_dev_and_test_sets_apart(tmp_path):
    """Each subset asked for is there, train in one, the others by their names."""
    subsets = ("train-clean-100", "train-clean-360", "dev-clean", "dev-other", "test-clean", "test-other")
    layouts.librispeech(tmp_path / "LibriSpeech", subsets)
    found = candidates("LibriSpeech", tmp_path)
    assert splits(found) == {"train": 2, "dev-clean": 2, "dev-other": 2, "test-clean": 2, "test-other": 2}
    first = found[0]
    assert (first.id, first.speaker, first.text) == ("100-900-0000", "100", SENTENCES[0].upper())
    assert first.path.is_file() and first.locale == "en_librispeech"
    more = candidates("LibriSpeech", tmp_path / "LibriSpeech", train_splits="[train-clean-100, train-clean-360]")
    assert splits(more)["train"] == 4
    alone = candidates("LibriSpeech", tmp_path, dev_splits="[dev-clean]", test_splits="[]")
    assert splits(alone) == {"train": 2, "dev-clean": 2}


def test_librispeech_errors(tmp_path):
    with pytest.raises(LayoutError, match="there is no train-clean-100 here; unpack train-clean-100.tar.gz"):
        candidates("LibriSpeech", tmp_path)
    layouts.librispeech(tmp_path, ["train-clean-100"])
    with pytest.raises(UserError, match="dev-clean.tar.gz, or leave it out of --dev_splits"):
        candidates("LibriSpeech", tmp_path)
    with pytest.raises(UserError, match="train_splits: there is no 'train-clean' in LibriSpeech"):
        candidates("LibriSpeech", tmp_path, train_splits="[train-clean]")
    list_file = next(tmp_path.rglob("*.trans.txt"))
    list_file.write_text("100-900-0000\n")
    with pytest.raises(UserError, match=r"100-900.trans.txt: line 1 has no text"):
        candidates("LibriSpeech", tmp_path, dev_splits="[]", test_splits="[]")


def test_librispeech_is_measured_without_its_training_audio(tmp_path):
    """`evaluate` needs the sets that it measures alone."""
    layouts.librispeech(tmp_path / "LibriSpeech", ("test-clean", "test-other"))
    recipe = ROOT / "recipes/LibriSpeech"
    found = asked.candidates(recipe, "sw", [str(tmp_path)])
    assert splits(found) == {"test-clean": 2, "test-other": 2}
    assert splits(asked.candidates(recipe, "sw", [str(tmp_path)], "test-other")) == {"test-other": 2}
    with pytest.raises(UserError, match="there is no dev-clean here"):
        asked.candidates(recipe, "sw", [str(tmp_path)], "dev-clean")


def test_fleurs(tmp_path):
    """The raw transcription is the text, the file's name the id, and the locale is the language's."""
    layouts.fleurs(tmp_path)
    for folder in (tmp_path, tmp_path / "data", tmp_path / "data" / "sw_ke"):
        found = candidates("FLEURS", folder, language="sw_ke")
        assert splits(found) == {"train": 2, "dev": 2, "test": 2}
    first = found[0]
    assert (first.id, first.locale, first.speaker) == ("train-train077", "sw_ke", "")
    assert first.text == "Kuku analala, \u201c0\u201d." and first.path.is_file()


def test_fleurs_has_102_languages_and_suggests_one(tmp_path):
    with pytest.raises(UserError, match="did you mean sw_ke"):
        candidates("FLEURS", tmp_path, language="sw")
    with pytest.raises(UserError, match="no 'qqqq'; the codes are af_za") as caught:
        candidates("FLEURS", tmp_path, language="qqqq")
    codes = str(caught.value).partition("codes are ")[2].split()
    assert len(codes) == len(set(codes)) == 102
    with pytest.raises(UserError, match="'language' has no value; give it with --language"):
        candidates("FLEURS", tmp_path)


def test_fleurs_errors(tmp_path):
    with pytest.raises(LayoutError, match="copy of google/fleurs"):
        candidates("FLEURS", tmp_path, language="sw_ke")
    place = layouts.fleurs(tmp_path) / "data" / "sw_ke"
    (place / "audio" / "dev").rename(place / "audio" / "moved")
    (place / "audio" / "dev.tar.gz").touch()
    with pytest.raises(UserError, match=r"audio/dev: there is no such folder; unpack it: tar xzf .*dev.tar.gz -C"):
        candidates("FLEURS", tmp_path, language="sw_ke")
    (place / "audio" / "moved").rename(place / "audio" / "dev")
    (place / "dev.tsv").write_text("1\ta.wav\n")
    with pytest.raises(UserError, match=r"dev.tsv: line 1 has 2 columns, not the 7"):
        candidates("FLEURS", tmp_path, language="sw_ke")


def test_fleurs_of_several_languages(tmp_path, caplog):
    """Each language has its own rule and its own dev and test set; what is missing or broken is listed."""
    for language, sentences in SCRIPTS.items():
        layouts.fleurs(tmp_path, language, sentences)
    found = candidates("FLEURS", tmp_path, language="th_th,en_us, ru_ru")
    names = {f"{role}-{language}": 2 for role in ("dev", "test") for language in SCRIPTS}
    assert splits(found) == {"train": 6, **names} and len({c.id for c in found}) == len(found)
    assert {(c.id.partition("/")[0], c.locale) for c in found} == {(language, language) for language in SCRIPTS}
    texts = {u.id: u.text for u in read_manifest(prepare(found, tmp_path / "out", progress=False).manifest)}
    assert [texts[f"{language}/test-test077"] for language in SCRIPTS] == [
        "the dog sleeps zero",
        "собака спит 0",
        "หมานอน 0",
    ]

    place = tmp_path / "data" / "ru_ru"
    (place / "dev.tsv").write_bytes(b"\xff\xfe")
    found = candidates("FLEURS", tmp_path, language="[en_us, ru_ru, sw_ke]")
    assert {c.locale for c in found} == {"en_us"}
    assert "ru_ru is left out" in caplog.text and "dev.tsv: cannot be read" in caplog.text
    assert "1 of 3 languages are not here: sw_ke" in caplog.text
    caplog.clear()
    assert {c.locale for c in candidates("FLEURS", tmp_path, language="all")} == {"en_us", "th_th"}
    assert len(caplog.records) == 2 and "99 of 102 languages are not here: af_za am_et" in caplog.text
    assert {
        c.locale for c in asked.candidates(ROOT / "recipes/FLEURS", "sw", [str(tmp_path)], None, [("language", "all")])
    } == set(SCRIPTS)
    with pytest.raises(UserError, match="no language asked for can be read; the first: .*data/de_de/train.tsv"):
        candidates("FLEURS", tmp_path, language="de_de,fr_fr")
    with pytest.raises(UserError, match="no 'fr'; did you mean fr_fr"):
        candidates("FLEURS", tmp_path, language="en_us,fr")


def test_languages_of_fleurs_have_regions_and_measures():
    """Seven regions, of the sizes that are published, and seven languages that are written without spaces."""
    lines = (ROOT / "recipes/FLEURS/languages.tsv").read_text(encoding="utf-8").splitlines()[1:]
    rows = [line.split("\t") for line in lines]
    assert sorted(Counter(region for _, _, region, _ in rows).values()) == [4, 11, 12, 14, 16, 20, 25]
    unspaced = {code for code, _, _, measure in rows if measure == "CER"}
    assert unspaced == {"cmn_hans_cn", "yue_hant_hk", "ja_jp", "th_th", "lo_la", "my_mm", "km_kh"}


def test_mboshi_halves_the_development_set_by_sentence(tmp_path):
    found = candidates("Mboshi", layouts.mboshi(tmp_path))
    assert [c.text for c in found if c.split == "train"] == list(SENTENCES[:3])
    sides = {c.text: c.split for c in found if c.split != "train"}
    assert sides == {text: "dev" if half(text) else "test" for text in SENTENCES}
    assert set(sides.values()) == {"dev", "test"}
    assert (found[0].speaker, found[0].locale) == ("abiayi", "mdw")
    next((tmp_path / "full_corpus_newsplit" / "dev").glob("*.mb.cleaned")).unlink()
    with pytest.raises(UserError, match="is the clone complete"):
        candidates("Mboshi", tmp_path)
    with pytest.raises(LayoutError, match="clone of the Mboshi corpus"):
        candidates("Mboshi", tmp_path / "full_corpus_newsplit" / "train")


def test_swahili_speech_gives_half_of_its_test_to_train(tmp_path):
    found = candidates("SwahiliSpeech", layouts.swahili_speech(tmp_path))
    where = {c.id.rpartition("_")[2]: c.split for c in found}
    assert (where["train0"], where["train1"], where["val0"]) == ("train", "train", "dev")
    assert where["test0"] == "train"  # its sentence is in train
    texts = {c.id.rpartition("_")[2]: c.text for c in found}
    assert all((where[f"test{i}"] == "train") == half(texts[f"test{i}"]) for i in range(1, 5))
    assert {where[f"test{i}"] for i in range(1, 5)} == {"train", "test"}
    assert not {c.text for c in found if c.split == "test"} & {c.text for c in found if c.split == "train"}
    (tmp_path / "data" / "raw_text_file.txt").write_text("200701:a\nb\n")
    with pytest.raises(UserError, match="line 2 has no colon"):
        candidates("SwahiliSpeech", tmp_path)
    with pytest.raises(LayoutError, match="clone of Swahili-Speech"):
        candidates("SwahiliSpeech", tmp_path / "data" / "records")


@pytest.mark.parametrize(
    ("name", "layout", "held_out"),
    [("Mboshi", layouts.mboshi, ["dev", "test"]), ("SwahiliSpeech", layouts.swahili_speech, ["train", "test"])],
)
def test_the_division_of_the_results(tmp_path, name, layout, held_out):
    """What results.tsv lists goes where it says, the rest of that part is left out, and no other part changes."""
    recipe, corpus = shutil.copytree(ROOT / "recipes" / name, tmp_path / "recipe"), layout(tmp_path / "corpus")
    part = "dev" if name == "Mboshi" else "test"
    names = sorted(wav.stem for wav in corpus.glob(f"*/**/{part}/*.wav"))
    others = {c.id: c.split for c in candidates(recipe, corpus) if c.id not in names}
    rows = dict(zip(names, held_out, strict=False))
    (recipe / "results.tsv").write_text("".join(f"{key}\t{split}\n" for key, split in rows.items()))
    assert {c.id: c.split for c in candidates(recipe, corpus, division="results")} == others | rows
    (recipe / "results.tsv").write_text("gone\ttest\n")
    with pytest.raises(UserError, match=r"results.tsv: lists 1 recording\(s\) that the corpus lacks, such as gone"):
        candidates(recipe, corpus, division="results")
    with pytest.raises(UserError, match="division: must be sentences or results, not 'halves'"):
        candidates(recipe, corpus, division="halves")


def test_the_divisions_are_whole():
    """The sizes that docs/results.md gives; each recording once."""
    sizes = {"Mboshi": {"dev": 164, "test": 170}, "SwahiliSpeech": {"train": 121, "test": 55}}
    for name, expected in sizes.items():
        lines = (ROOT / "recipes" / name / "results.tsv").read_text(encoding="utf-8").splitlines()
        assert Counter(line.split("\t")[1] for line in lines) == expected
        assert len({line.split("\t")[0] for line in lines}) == len(lines)


def test_common_voice_without_lists_of_splits(tmp_path, caplog):
    """A young language's release, or one of what is new: validated.tsv by speaker, where the other lists are empty."""
    head, rows = "client_id\tpath\tsentence\tlocale", []
    for i in range(6):
        layouts.noise(tmp_path / "clips" / f"c{i}.mp3")
        rows.append(f"s{i % 3}\tc{i}.mp3\t{SENTENCES[i]}\tsw")
    (tmp_path / "validated.tsv").write_text("\n".join([head, *rows]) + "\n")
    (tmp_path / "other.tsv").write_text(head + "\n")
    for lists in ((), ("train", "dev", "test")):
        for name in lists:
            (tmp_path / f"{name}.tsv").write_text(head + "\n")
        found = candidates("CommonVoice", tmp_path, locale="sw")
        assert {c.path for c in found} == set((tmp_path / "clips").iterdir())
        assert len({(c.speaker, c.split) for c in found}) == 3 and {c.split for c in found} == {"train", "dev", "test"}
        assert "validated.tsv is split by speaker" in caplog.text
    again = candidates("Custom", tmp_path / "validated.tsv", locale="sw")
    assert {c.path for c in again} == {c.path for c in found}


def test_common_voice_of_any_locale(tmp_path):
    """One recipe for all locales; a row's own locale counts for more."""
    (tmp_path / "clips").mkdir()
    for split in ("train", "dev", "test"):
        row = "s\ta.mp3\tNeno\n" if split == "train" else "s\tb.mp3\tNeno\tmdw\n"
        head = "client_id\tpath\tsentence" + ("" if split == "train" else "\tlocale")
        (tmp_path / f"{split}.tsv").write_text(f"{head}\n{row}")
    found = candidates("CommonVoice", tmp_path, locale="lg")
    assert [c.locale for c in found] == ["lg", "mdw", "mdw"]
