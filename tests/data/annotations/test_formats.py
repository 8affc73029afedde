"""Every format says the same: what is said, when, by whom, and in which recording."""

import pytest

from serenanet_modules.data import custom
from serenanet_modules.data.annotations import formats
from tests.support.annotated import FILES, SAID, SPEAKERS, elan, kaldi, lhotse, samples
from tests.support.refusals import refusal

WITHOUT_SPEAKERS = (".textgrid", ".srt", ".ctm", ".txt", ".tsv")
COUNT = len(FILES) + 4


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return samples(tmp_path_factory.mktemp("annotated"))


@pytest.mark.parametrize("number", range(COUNT))
def test_every_format_gives_the_same_utterances(files, number):
    path = files[number]
    found = custom.candidates(path, "sw", shares={"test": 1})
    spans = [(c.text, pytest.approx(c.start), pytest.approx(c.end)) for c in sorted(found, key=lambda c: c.start)]
    rows = SAID if path.suffix != ".ctm" else [SAID[0], ("nzuri", 2.6, 2.75)]
    assert spans == [(text, start, end) for text, start, end in rows]
    if path.suffix.lower() not in WITHOUT_SPEAKERS:
        assert [c.speaker for c in found] == SPEAKERS
    name = "labels.wav" if path.suffix == ".txt" else "a.wav"
    assert {c.path for c in found} == {(path if path.is_dir() else path).parent / name} or path.is_dir()
    assert len({c.id for c in found}) == 2


def test_the_readers_are_all_tried(files):
    assert len(files) == COUNT and {formats.reader(path) for path in files} == {*formats.READERS, formats.FOLDERS}


def test_tables_of_times_are_told_from_manifests_and_texts(tmp_path):
    for name, content in {
        "m.tsv": "path\ttext\na.wav\tx\n",
        "t.txt": "habari\n",
        "n.jsonl": '{"audio_filepath": "a.wav", "text": "x"}\n',
        "b.jsonl.gz": "no gzip",
        "c.wav": "RIFF",
    }.items():
        (tmp_path / name).write_text(content)
        assert formats.reader(tmp_path / name) is None


def test_what_transcribe_writes_is_read(tmp_path):
    """Its tsv, ctm, srt, vtt and json hold the segments that were heard."""
    from serenanet_modules.inference.formats import write
    from serenanet_modules.inference.transcript import Segment, Transcript, Word

    words = (Word("habari", 0.5, 1.0, 0.9), Word("ya", 1.1, 1.2, 0.9), Word("asubuhi", 1.3, 2.0, 0.9))
    transcript = Transcript("habari ya asubuhi", 3.0, (Segment("habari ya asubuhi", 0.5, 2.0, 0.9, words, ()),))
    for kind in ("tsv", "ctm", "srt", "vtt", "json"):
        path = tmp_path / f"a.{kind}"
        path.write_text(write(transcript, kind, "a.wav"), encoding="utf-8")
        (found,) = custom.candidates(path, "sw", shares={"test": 1})
        assert (found.text, found.start, found.end) == ("habari ya asubuhi", 0.5, pytest.approx(2.0)), kind


def test_kaldi_and_lhotse_folders_are_in_their_splits(tmp_path):
    for split in ("train", "dev", "test"):
        (tmp_path / split).mkdir()
        kaldi(tmp_path / split)
    (tmp_path / "corpus").mkdir()
    for split in ("train", "dev", "test"):
        (tmp_path / split / "k").rename(tmp_path / "corpus" / split)
        for name in ("text", "utt2spk", "segments"):
            file = tmp_path / "corpus" / split / name
            file.write_text("".join(f"{split}-{line}\n" for line in file.read_text().splitlines()))
    found = custom.candidates(tmp_path / "corpus", "sw")
    assert {(c.split, c.id) for c in found} == {(s, f"{s}-u{i}") for s in ("train", "dev", "test") for i in (1, 2)}


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("wav.scp", "a sox a.wav -t wav - |\n", "made by a command, which is not run"),
        ("segments", "u1 a 0.5 2\n", "'u2' is not in segments"),
        ("segments", "u1 b 0.5 2\nu2 a 1 2\n", "is no recording of wav.scp"),
        ("segments", "u1 a soon 2\nu2 a 1 2\n", "'soon' is no time"),
    ],
)
def test_kaldi_folders_that_do_not_fit_are_refused(tmp_path, file, content, said):
    folder = kaldi(tmp_path)
    (folder / file).write_text(content)
    assert said in refusal(lambda: formats.read(folder), folder)


def test_lhotse_needs_recordings_that_are_files(tmp_path):
    supervisions, cuts = lhotse(tmp_path)
    cuts.write_text(cuts.read_text().replace('"file"', '"command"'))
    assert "is no file" in refusal(lambda: formats.read(cuts), cuts)
    (supervisions.parent / "x_recordings_all.jsonl.gz").unlink()
    assert "is not beside it" in refusal(lambda: formats.read(supervisions), supervisions)


def test_overlapping_speakers_and_noises_of_transcriber(tmp_path):
    path = tmp_path / "a.trs"
    text = FILES["a.trs"].replace('speaker="s2"><Sync time="2"/>', 'speaker="s1 s2"><Sync time="2"/>')
    said = '<Who nb="1"/>ndiyo<Event desc="rire" type="noise" extent="instantaneous"/> <Who nb="2"/>nzuri'
    path.write_text(text.replace("\nnzuri\n", said))
    (document,) = formats.read(path)
    both = [(t.participant, a.text) for t in document.tiers for a in t.annotations if a.start == 2.0]
    assert both == [("Amina", "ndiyo [rire]"), ("Juma", "nzuri")]


def test_elan_words_have_their_share_of_the_phrase(tmp_path):
    found = custom.candidates(elan(tmp_path), "sw", shares={"test": 1}, tier="W")
    assert [(c.text, c.start, c.end) for c in found] == [("habari", 0.5, 1.0), ("ya", 1.0, 1.5), ("asubuhi", 1.5, 2.0)]
