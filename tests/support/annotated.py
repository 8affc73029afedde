"""A small file of each format of annotations; all say ``habari ya asubuhi`` from 0.5 s and ``nzuri`` from 2 s."""

import gzip
import json

from tests.support.eaf import eaf, tier

SAID = [("habari ya asubuhi", 0.5, 2.0), ("nzuri", 2.0, 2.75)]
SPEAKERS = ["Amina", "Juma"]

FILES = {
    "a.TextGrid": '"ooTextFile"\n"TextGrid"\n0\n3\n<exists>\n1\n"IntervalTier"\n"w"\n0\n3\n4\n0\n0.5\n""\n'
    '0.5\n2\n"habari ya asubuhi"\n2\n2.75\n"nzuri"\n2.75\n3\n""\n',
    "a.srt": "1\n00:00:00,500 --> 00:00:02,000\n<i>habari ya</i>\nasubuhi\n\n2\n00:00:02,000 --> 00:00:02,750\nnzuri\n",
    "a.vtt": "WEBVTT\n\nNOTE of ours\n\n00:00.500 --> 00:02.000 align:left\n<v Amina>habari ya asubuhi</v>\n\n"
    "b\n00:02.000 --> 00:02.750\n<v Juma>nzuri\n",
    "a.ctm": ";; ours\na 1 0.5 0.5 habari 0.9\na 1 1.0 0.2 ya 0.9\na 1 1.3 0.7 asubuhi\na 1 2.6 0.15 nzuri 1\n",
    "a.stm": ";; ours\na 1 Amina 0.5 2.0 <o,f0> habari ya asubuhi\na 1 Juma 2.0 2.75 nzuri\n"
    "a 1 x 2.75 3 ignore_time_segment_in_scoring\n",
    "a.trs": '<?xml version="1.0" encoding="ISO-8859-1"?>\n<!DOCTYPE Trans SYSTEM "trans-14.dtd">\n'
    '<Trans audio_filename="a"><Speakers><Speaker id="s1" name="Amina"/><Speaker id="s2" name="Juma"/></Speakers>'
    '<Episode><Section startTime="0" endTime="3"><Turn startTime="0" endTime="2" speaker="s1"><Sync time="0"/>\n'
    '<Sync time="0.5"/>\nhabari ya\nasubuhi\n</Turn><Turn startTime="2" endTime="2.75" speaker="s2"><Sync time="2"/>'
    "\nnzuri\n</Turn></Section></Episode></Trans>\n",
    "labels.txt": "0.500000\t2.000000\thabari ya asubuhi\n\\\t100.0\t900.0\n2.000000\t2.750000\tnzuri\n",
    "a.tsv": "start\tend\ttext\n500\t2000\thabari ya asubuhi\n2000\t2750\tnzuri\n",
    "a.json": '{"file": "a.wav", "text": "habari ya asubuhi nzuri", "duration": 3.0, "segments": [{"text": '
    '"habari ya asubuhi", "start": 0.5, "end": 2.0, "confidence": 0.9, "words": [], "tokens": [], "speaker": "Amina"}, '
    '{"text": "nzuri", "start": 2.0, "end": 2.75, "speaker": "Juma"}], "calibrated": true}\n',
    "a.flextext": '<document version="2"><interlinear-text><item type="title" lang="en">A</item><paragraphs><paragraph>'
    '<phrases><phrase begin-time-offset="500" end-time-offset="2000" speaker="Amina" guid="g1">'
    '<item type="segnum" lang="en">1</item><words><word><item type="txt" lang="sw">habari</item></word>'
    '<word><item type="txt" lang="sw">ya</item></word><word><item type="txt" lang="sw">asubuhi</item></word></words>'
    '<item type="gls" lang="en">good morning</item></phrase>'
    '<phrase begin-time-offset="2000" end-time-offset="2750" speaker="Juma"><item type="txt" lang="sw">nzuri</item>'
    "</phrase></phrases></paragraph></paragraphs><media-files><media guid=\"m\" location=\"a.wav\"/></media-files>"
    "</interlinear-text></document>\n",
    "a.cha": "@UTF8\n@Begin\n@Media:\ta, audio\n*Amina:\thabari ya\n\tasubuhi \x15500_2000\x15\n%eng:\tgood morning\n"
    "*Juma:\tnzuri \x152000_2750\x15\n@End\n",
    "a.exb": '<basic-transcription><head><meta-information><referenced-file url="a.wav"/></meta-information>'
    '<speakertable><speaker id="S0"><abbreviation>Amina</abbreviation></speaker><speaker id="S1"><abbreviation>Juma'
    '</abbreviation></speaker></speakertable></head><basic-body><common-timeline><tli id="T0" time="0.5"/>'
    '<tli id="T1"/><tli id="T2" time="2.0"/><tli id="T3" time="2.75"/></common-timeline>'
    '<tier id="X" speaker="S0" category="v" type="t" display-name="Amina [v]"><event start="T0" end="T2">habari ya '
    'asubuhi</event></tier><tier id="Y" speaker="S0" category="en" type="a" display-name="Amina [en]">'
    '<event start="T0" end="T1">good</event></tier><tier id="Z" speaker="S1" category="v" type="t" '
    'display-name="Juma [v]"><event start="T2" end="T3">nzuri</event></tier></basic-body></basic-transcription>\n',
}  # fmt: skip


def samples(folder):
    """Write a file of each format, each in a folder of its own; their paths."""
    paths = [folder / f"{i}" / name for i, name in enumerate(FILES)]
    for path, content in zip(paths, FILES.values(), strict=True):
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return [elan(folder), *paths, *lhotse(folder), kaldi(folder)]


def elan(folder):
    """An ELAN file with phrases of two people and the words of one."""
    (folder / "e").mkdir(exist_ok=True)
    return eaf(
        folder / "e" / "a.eaf",
        tier("A", ("a1", SAID[0][0], 1, 2), participant="Amina"),
        tier("W", *((f"w{i}", w, "a1") for i, w in enumerate(SAID[0][0].split())), type="words", parent="A"),
        tier("B", ("b1", SAID[1][0], 2, 3), participant="Juma"),
        slots=[500, 2000, 2750],
        media=[("file:///x/a.wav", "./a.wav")],
    )


def lhotse(folder):
    """Supervisions with their recordings, and cuts."""
    place = folder / "l"
    place.mkdir(exist_ok=True)
    recording = {"id": "a", "sources": [{"type": "file", "channels": [0], "source": "a.wav"}], "sampling_rate": 16000}
    rows = [
        {"id": f"u{i}", "recording_id": "a", "start": start, "duration": end - start, "text": text, "speaker": speaker}
        for i, ((text, start, end), speaker) in enumerate(zip(SAID, SPEAKERS, strict=True))
    ]
    supervisions, cuts = place / "x_supervisions_all.jsonl.gz", place / "cuts.jsonl"
    with gzip.open(supervisions, "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    with gzip.open(place / "x_recordings_all.jsonl.gz", "wt") as file:
        file.write(json.dumps(recording) + "\n")
    inside = [row | {"start": row["start"] - 0.25} for row in rows]
    cuts.write_text(json.dumps({"id": "c", "start": 0.25, "supervisions": inside, "recording": recording}) + "\n")
    return [supervisions, cuts]


def kaldi(folder):
    """A data folder."""
    place = folder / "k"
    place.mkdir(exist_ok=True)
    (place / "wav.scp").write_text("a a.wav\n")
    (place / "text").write_text("u1 habari ya asubuhi\nu2 nzuri\n")
    (place / "utt2spk").write_text("u1 Amina\nu2 Juma\n")
    (place / "segments").write_text("u1 a 0.5 2.0\nu2 a 2.0 2.75\n")
    return place
