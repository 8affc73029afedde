"""Annotated recordings as other programs, systems and people leave them."""

import json
import logging

import numpy as np
import pytest
import soundfile

from serenanet_modules.data import custom
from serenanet_modules.data.annotations import elan, elan_writing, formats
from serenanet_modules.data.annotations.media import Media
from serenanet_modules.data.annotations.model import Annotation, Document, Tier
from serenanet_modules.data.annotations.tiers import chosen
from serenanet_modules.data.audio import SAMPLE_RATE
from serenanet_modules.data.listening import Clip, hear
from serenanet_modules.errors import UserError
from tests.support.eaf import check, eaf, tier

SLOTS = [0, 1000, 2000, 3000]
PHRASES = tier("P", ("a1", "habari", 1, 2), ("a2", "njema", 3, 4))


def read(folder, name, text, encoding="utf-8"):
    """The annotations of a file by their tiers: (text, start, end)."""
    path = folder / name
    path.write_text(text, encoding=encoding)
    return {t.name: [(a.text, a.start, a.end) for a in t.annotations] for d in formats.read(path) for t in d.tiers}


def candidates(folder, **options):
    return custom.candidates(folder, "sw", shares={"train": 1}, **options)


def test_subtitles_of_players_and_platforms(tmp_path):
    rolling = (
        "WEBVTT Kind: captions\n\nNOTE x --> y\n\n00:00.000 --> 00:02.000\nhabari<00:00:00.500><c> za</c>\n\n"
        "00:02.000 --> 00:02.010\nhabari za\n\n00:02.010 --> 00:04.000\nhabari za\nleo<00:00:03.000><c> sana</c>\n"
    )
    found = read(tmp_path, "a.vtt", rolling)["subtitles"]
    assert found == [("habari za", 0.0, 2.0), ("leo sana", 2.01, 4.0)]
    voices = "WEBVTT\n\n00:00.000 --> 00:02.000\n<v Amina>habari</v> <v.loud Juma>njema\nmbili --> tatu\n"
    assert read(tmp_path, "b.vtt", voices) == {
        "Amina": [("habari", 0.0, 2.0)],
        "Juma": [("njema mbili --> tatu", 0.0, 2.0)],
    }


def test_subtitles_that_people_typed(tmp_path):
    """Without empty lines before numbers, without fractions of seconds, with readings above words."""
    typed = (
        "1\n00:00:01 --> 00:00:02\nhabari\n1985\n2\n0:00:02,5 --> 00:00:04\nnjema\n\n3\n00:00:05 --> 00:00:06\n1985\n"
    )
    said = [("habari 1985", 1.0, 2.0), ("njema", 2.5, 4.0), ("1985", 5.0, 6.0)]
    assert read(tmp_path, "a.srt", typed)["subtitles"] == said
    ruby = "WEBVTT\n\n00:00.000 --> 00:02.000\n<ruby>日本<rt>にほん</rt></ruby>です\n"
    assert read(tmp_path, "a.vtt", ruby)["subtitles"] == [("日本です", 0.0, 2.0)]


def test_all_that_speakers_say_is_a_transcript(tmp_path):
    """Also what has no speaker, in formats that have nothing else; points in time are no transcript."""
    voices = "WEBVTT\n\n00:00.000 --> 00:02.000\n<v Amina>habari\n\n00:02.000 --> 00:04.000\nnjema\n"
    (tmp_path / "a.vtt").write_text(voices)
    (document,) = formats.read(tmp_path / "a.vtt")
    assert [t.participant for t in chosen(document)] == ["Amina", ""]
    clicks, words = Tier("clicks", (Annotation("x", 1.0, 1.0),)), Tier("words", (Annotation("habari", 0.0, 1.0),))
    assert chosen(Document(tmp_path / "a.TextGrid", (clicks, words))) == [words]
    assert chosen(Document(tmp_path / "a.TextGrid", (clicks, words)), "clicks") == [clicks]


def test_punctuation_of_interlinear_texts_stands_at_its_word(tmp_path):
    pairs = [("punct", "¿"), ("txt", "habari"), ("punct", ","), ("punct", "«"), ("txt", "yako"), ("punct", "»?")]
    words = "".join(f'<word><item type="{kind}" lang="sw">{said}</item></word>' for kind, said in pairs)
    phrase = f'<phrase begin-time-offset="0" end-time-offset="900"><words>{words}</words></phrase>'
    text = f"<interlinear-text><paragraphs><paragraph><phrases>{phrase}</phrases></paragraph></paragraphs>"
    found = read(tmp_path, "a.flextext", f"<document>{text}</interlinear-text></document>")
    assert found["txt"] == [("¿habari, «yako»?", 0.0, 0.9)]


def test_texts_without_a_byte_order_mark_and_what_is_no_file(tmp_path):
    line = "0\t1.5\thabari za leo\n"
    for encoding in ("utf-16-le", "utf-16-be", "utf-16", "utf-8-sig"):
        path = tmp_path / "a.srt"
        path.write_text("1\n00:00:00,000 --> 00:00:01,500\nhabari\n", encoding=encoding)
        assert formats.read(path)[0].tiers[0].annotations[0].text == "habari"
    (tmp_path / "b.eaf").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n" + line)
    with pytest.raises(UserError, match="git lfs pull"):
        formats.read(tmp_path / "b.eaf")
    (tmp_path / "c.eaf").write_text("")
    with pytest.raises(UserError, match="c.eaf: is empty"):
        formats.read(tmp_path / "c.eaf")


def test_conventions_of_formats(tmp_path):
    """What CHAT writes into words, alternatives of STM, segments without times in JSON."""
    said = "*CHI:\tnataka maziwa@s:eng ma(ziwa) 0na &-um 0 . \x150_1500\x15\n"
    assert read(tmp_path, "a.cha", said)["CHI"][0][0].split() == ["nataka", "maziwa", "ma", "&-um", "."]
    stm = "rec A amina 0.0 2.0 <o,f0,female> {ndiyo / ndio} sana\n"
    assert read(tmp_path, "a.stm", stm)["amina"] == [("ndiyo sana", 0.0, 2.0)]
    segments = [{"start": 0.0, "end": 2.0, "text": "habari"}, {"start": None, "end": None, "text": "njema"}]
    told = read(tmp_path, "a.json", json.dumps({"text": "", "segments": segments}))["segments"]
    assert told == [("habari", 0.0, 2.0), ("njema", None, None)]


def test_what_macs_leave_beside_files_is_passed_over(tmp_path):
    (tmp_path / "__MACOSX").mkdir()
    for name in ("._a.eaf", "__MACOSX/._a.eaf", "._a.wav", "._m.tsv"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")
    eaf(tmp_path / "a.eaf", PHRASES, slots=SLOTS, media=[("", "./a.wav")])
    (tmp_path / "a.wav").touch()
    assert [c.text for c in candidates(tmp_path)] == ["habari", "njema"]


@pytest.mark.parametrize(
    ("named", "there"),
    [
        ("./sub/Re%CC%81%20c.wav", "sub/R\u00e9 c.wav"),
        ("file:///C:/Users/Ann/My%20files/rec.wav", "rec.wav"),
        ("..\\My files\\REC.wav", "rec.WAV"),
        (None, "talk.mp3"),
    ],
)
def test_recordings_are_found(tmp_path, named, there):
    """Names of another system, with escapes, in another form or case; and subtitles with their language in the name."""
    path = tmp_path / there
    path.parent.mkdir(exist_ok=True)
    path.touch()
    document = Document(tmp_path / ("x.eaf" if named else "talk.sw.srt"), (), (named,) if named else ())
    assert Media().find(document) == path


def test_recordings_of_a_data_folder_lie_in_it_or_beside_it(tmp_path):
    for folder, recording in (("inside", "inside/a.wav"), ("beside", "b.wav")):
        (tmp_path / folder).mkdir()
        (tmp_path / recording).touch()
        (tmp_path / folder / "text").write_text("u1 habari\n")
        (tmp_path / folder / "wav.scp").write_text(f"u1 {recording.split('/')[-1]}\n")
        (document,) = formats.read(tmp_path / folder)
        assert Media().find(document) == tmp_path / recording


def test_recordings_anywhere_in_the_corpus_are_found(tmp_path):
    """Which a path leads to out of a file's own folder, or Kaldi's from where its scripts run; none outside of it."""
    corpus, folder = tmp_path / "corpus", tmp_path / "corpus/data/train"
    folder.mkdir(parents=True)
    for place in ("corpus/sound", "elsewhere"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "a.wav").touch()
    (folder / "text").write_text("u1 habari\n")
    (folder / "wav.scp").write_text("u1 sound/a.wav\n")
    eaf(folder / "b.eaf", PHRASES, slots=SLOTS, media=[("", "../../sound/a.wav")])
    assert {c.path for c in candidates(corpus)} == {corpus / "sound/a.wav"}
    eaf(folder / "b.eaf", PHRASES, slots=SLOTS, media=[("", "../../../elsewhere/a.wav")])
    with pytest.raises(UserError, match="elsewhere/a.wav lies outside of its folder"):
        candidates(corpus)


def test_lists_of_hugging_face_lie_at_any_depth(tmp_path):
    for split in ("train", "test"):
        (tmp_path / "data" / split).mkdir(parents=True)
        entry = {"file_name": f"{split}.wav", "transcription": "habari"}
        (tmp_path / "data" / split / "metadata.jsonl").write_text(json.dumps(entry) + "\n")
    found = custom.candidates(tmp_path, "sw")
    assert {(c.split, c.path) for c in found} == {(s, tmp_path / f"data/{s}/{s}.wav") for s in ("train", "test")}


def test_missing_and_doubled_recordings_are_said(tmp_path, caplog):
    for name in ("a.eaf", "b.eaf"):
        eaf(tmp_path / name, PHRASES, slots=SLOTS, media=[("", "./rec.wav")])
    with caplog.at_level(logging.WARNING):
        candidates(tmp_path)
    assert "2 recording(s) are not there, such as ./rec.wav, which" in caplog.text
    assert "--audio-folder says where" in caplog.text and "is annotated by 2 files" in caplog.text


def test_tiers_as_people_name_them(tmp_path):
    """White space and case do not count, tiers of numbers are no texts, and names in two tiers get a number."""
    numbers = tier("ref", ("a1", "001", 1, 2), ("a2", "002", 3, 4))
    said = tier("Phrase ", ("b1", "habari", "a1"), type="glosses", parent="ref")
    (document,) = elan.read(eaf(tmp_path / "a.eaf", numbers, said, slots=SLOTS))
    assert [t.name for t in chosen(document, "phrase")] == ["Phrase "]
    with pytest.raises(UserError, match="which of its tiers is transcribed: ref, 'Phrase '"):
        chosen(document)
    tiers = [Tier(name, (Annotation(name or "-", 0.0, 1.0),)) for name in ("P", "P", "", "P 2")]
    path = tmp_path / "b.eaf"
    path.write_text(elan_writing.write(Document(path, tuple(tiers))), encoding="utf-8")
    check(path.read_bytes())
    assert [t.name for t in elan.read(path)[0].tiers] == ["P", "P 2", "tier", "P 2 2"]


def test_lists_of_other_toolkits(tmp_path):
    """Lhotse's unpacked lists, its mixed cuts, Hugging Face's nested audio and its packed files."""
    recording = {"id": "r1", "sources": [{"type": "file", "source": "a.wav"}], "sampling_rate": 16000}
    supervision = {"id": "s1", "recording_id": "r1", "start": 0.0, "duration": 2.0, "text": "habari"}
    for name, entry in (("recordings.jsonl", recording), ("supervisions.jsonl", supervision)):
        (tmp_path / name).write_text(json.dumps(entry) + "\n")
    (tmp_path / "a.wav").touch()
    assert [c.text for c in candidates(tmp_path)] == ["habari"]
    mixed = {"id": "m", "tracks": [{"cut": {"supervisions": [supervision], "recording": recording}}]}
    (tmp_path / "cuts.jsonl").write_text(json.dumps(mixed) + "\n")
    with pytest.raises(UserError, match="mixes several recordings"):
        formats.read(tmp_path / "cuts.jsonl")
    (tmp_path / "m").mkdir()
    nested = {"audio": {"path": "a.wav", "bytes": None}, "sentence": "habari"}
    (tmp_path / "m/metadata.jsonl").write_text(json.dumps(nested) + "\n")
    assert [c.path.name for c in candidates(tmp_path / "m")] == ["a.wav"]
    (tmp_path / "m/data-00000-of-00001.arrow").touch()
    with pytest.raises(UserError, match="data-00000-of-00001.arrow is not read; save its audio"):
        candidates(tmp_path / "m")


@pytest.mark.parametrize("kind", ["stm", "one file", "two files", "mono"])
def test_who_speaks_on_a_channel_is_heard_on_that(tmp_path, kind):
    """NIST's and Lhotse's channels, of one file or of several; a file of one channel is heard as it is."""
    left, right = (value * (-1) ** np.arange(3 * SAMPLE_RATE) for value in (0.5, 0.25))
    both = np.stack([left, right], 1)
    for name, samples in (("a", left if kind == "mono" else both), ("left", left), ("right", right)):
        soundfile.write(tmp_path / f"{name}.wav", samples, SAMPLE_RATE)
    if kind in ("stm", "mono"):
        (tmp_path / "a.stm").write_text("a 1 amina 0.0 1.0 habari\na 2 juma 1.0 2.0 njema\na 2 juma 2.0 3.0 sana\n")
    else:
        files = [("a", [0, 1])] if kind == "one file" else [("left", [0]), ("right", [1])]
        sources = [{"type": "file", "source": f"{name}.wav", "channels": channels} for name, channels in files]
        said = [("habari", 0), ("njema", 1), ("sana", [1])]
        entries = {
            "recordings": [{"id": "r", "sources": sources, "sampling_rate": SAMPLE_RATE}],
            "supervisions": [
                {"id": f"s{i}", "recording_id": "r", "start": i, "duration": 1.0, "text": text, "channel": channel}
                for i, (text, channel) in enumerate(said)
            ],
        }
        for name, rows in entries.items():
            (tmp_path / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    found = hear([Clip(c, c.text) for c in candidates(tmp_path)], jobs=1, progress=False)
    heard = {clip.text: clip.amplitude for clip in found}
    quiet = 0.5 if kind == "mono" else 0.25
    assert heard == pytest.approx({"habari": 0.5, "njema": quiet, "sana": quiet}, abs=1e-3)
