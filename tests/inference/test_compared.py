"""One model offline and as streams: error rates are those of each way, latencies those of a clock of one's own."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest

from serenanet_modules import cli
from serenanet_modules.analysis.scoring import score
from serenanet_modules.data.asked import candidates
from serenanet_modules.data.audio import SAMPLE_RATE, load
from serenanet_modules.data.text import normaliser
from serenanet_modules.inference import compared
from serenanet_modules.inference.align import align_text
from serenanet_modules.inference.recognizer import Recognizer
from serenanet_modules.inference.streaming import Streamer
from tests.support.families import CONMAMBA, FAMILIES, make_result
from tests.support.tiny import SAMPLE

HEARD = "common_voice_sw_00000601"  # and the others have letters that the model lacks, or more than there are frames
OTHERS = {
    "common_voice_sw_00000607": "machungwa yangu ni rahisi kweli",
    "common_voice_sw_00000613": "gazeti hili unalisoma mara nyingi",
}
TICK, CHUNK = 0.03, 0.1  # seconds


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory):
    return Recognizer.from_folder(make_result(tmp_path_factory.mktemp("compared") / "run", *FAMILIES["ssm"]))


@pytest.fixture(scope="module")
def sounds():
    return {name: load(SAMPLE / "clips" / f"{name}.mp3") for name in (HEARD, *OTHERS)}


@pytest.fixture(scope="module")
def texts(recognizer, sounds):
    """Of the first, what the model hears, so that its words have a place."""
    return {HEARD: normaliser("sw")(recognizer.transcribe(sounds[HEARD]).text), **OTHERS}


@pytest.fixture(scope="module")
def manifest(texts, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "own.csv"
    lines = [f"{name},{SAMPLE / 'clips' / name}.mp3,{text}" for name, text in texts.items()]
    path.write_text("\n".join(["id,path,text", *lines]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def rows(recognizer, manifest, tmp_path_factory):
    """Of a machine that takes `TICK` for whatever it is asked."""
    now = iter(np.arange(0, 1e4, TICK))
    patch = pytest.MonkeyPatch()
    patch.setattr(compared, "time", SimpleNamespace(perf_counter=lambda: next(now)))
    ways = compared.streams(recognizer, chunk_seconds=CHUNK)
    found, summary = compared.compare(recognizer, ways, candidates(manifest, "sw"), tmp_path_factory.mktemp("prepared"))
    patch.undo()
    assert not summary["splits"]["test"]["rejected"]
    return found


def test_every_way_is_there(rows):
    told = [(row["way"], row["look_ahead_ms"], row["delay_ms"]) for row in rows]
    assert told == [("offline", None, None), ("streaming", 240, 252.5), ("streaming", 0, 12.5)]
    assert all(row["utterances"] == 3 and row["peak_mb"] > 50 for row in rows)


def test_error_rates_are_those_of_each_way(recognizer, rows, sounds, texts):
    offline = dict(zip(sounds, (found.text for found in recognizer.transcribe(sounds.values())), strict=True))
    for row, look_ahead in zip(rows, (None, 240, 0), strict=True):
        heard = offline if look_ahead is None else {}
        for name, samples in sounds.items() if look_ahead is not None else ():
            streamer = Streamer(recognizer, look_ahead)
            streamer.feed(samples)
            heard[name] = streamer.finish().text
        for measure, level in (("WER", "word"), ("CER", "char")):
            assert row[measure] == pytest.approx(100 * score(texts, heard, level).total.rate, abs=1e-3)


def test_latencies_follow_the_clock(recognizer, rows, sounds, texts):
    """Each piece takes a tick, only the last may come before that; the first word is late by what was waited for."""
    offline, *streams = rows
    seconds = {name: len(samples) / SAMPLE_RATE for name, samples in sounds.items()}
    assert offline["final_p50_ms"] == offline["final_p95_ms"] == pytest.approx(1000 * TICK, abs=0.2)
    assert offline["rtf"] == pytest.approx(3 * TICK / sum(seconds.values()), abs=1e-4)
    pieces = sum(-(-len(samples) // round(CHUNK * SAMPLE_RATE)) for samples in sounds.values())
    late = [2 * TICK + max(0, TICK - duration % CHUNK) for duration in seconds.values()]
    for row in streams:
        expected = [1000 * np.percentile(late, p) for p in (50, 95)]
        assert [row["final_p50_ms"], row["final_p95_ms"]] == pytest.approx(expected, abs=0.2)
        assert row["rtf"] == pytest.approx((pieces + 3) * TICK / sum(seconds.values()), abs=1e-4)
    said = align_text(recognizer, sounds[HEARD], texts[HEARD]).words[0].end
    for name in ("first_text", "first_word"):
        assert offline[f"{name}_p50_ms"] == pytest.approx(1000 * (seconds[HEARD] + TICK - said), abs=1)
    for row, look_ahead in zip(streams, (240, 0), strict=True):
        streamer, at, shown = Streamer(recognizer, look_ahead), 0, {}
        while "first_word" not in shown:
            text = streamer.feed(sounds[HEARD][at : at + round(CHUNK * SAMPLE_RATE)])
            at += round(CHUNK * SAMPLE_RATE)
            assert streamer.words == len(text.split()) and at < len(sounds[HEARD])
            for name, there in (("first_text", text), ("first_word", " " in text)):
                if there:
                    shown.setdefault(name, at / SAMPLE_RATE + TICK)
        for name, second in shown.items():
            assert row[f"{name}_p50_ms"] == row[f"{name}_p95_ms"] == pytest.approx(1000 * (second - said), abs=1)
        assert row["carried_kb"] > 1 and row["first_text_p50_ms"] <= row["first_word_p50_ms"]
    assert all(row["timed"] == 1 for row in rows)  # the others cannot be aligned


@pytest.mark.parametrize(
    ("texts", "first", "word"),
    [
        (["", "ha", "habari", "habari y", "habari ya"], 0.2, 0.4),
        (["", "ha", "habari", "habari", "habari"], 0.2, 0.5),  # complete when all is there
        (["habari ya", "habari ya", "habari ya", "habari ya", "habari ya"], 0.1, 0.1),
        (["", "", "", "", ""], None, None),
    ],
)
def test_when_a_first_word_is_complete(recognizer, texts, first, word, monkeypatch):
    class Scripted:
        carried = 0

        def __init__(self, *_):
            self.said = []

        def feed(self, _):
            self.said.append(texts[len(self.said)])
            return self.said[-1]

        def finish(self):
            return SimpleNamespace(text=self.said[-1])

        @property
        def words(self):
            return len(self.said[-1].split())

    way = compared.streams(recognizer, [0], 0.1)[1]
    monkeypatch.setattr(compared, "Streamer", Scripted)
    monkeypatch.setattr(compared, "time", SimpleNamespace(perf_counter=lambda: 0.0))
    heard = way.hear(np.zeros(5 * 1600, np.float32))
    assert (heard.first, heard.word, heard.done) == (first and pytest.approx(first), word and pytest.approx(word), 0.5)


def test_a_slow_machine_falls_behind(recognizer, sounds, monkeypatch):
    """What computing takes beyond the sound's own pace adds up."""
    monkeypatch.setattr(compared, "time", SimpleNamespace(perf_counter=iter(np.arange(0, 1e4, 0.25)).__next__))
    samples = sounds["common_voice_sw_00000601"][:16000]
    way = compared.streams(recognizer, [0], 0.1)[1]
    assert way.hear(samples).done == pytest.approx(0.1 + 10 * 0.25 + 0.25)


def test_files_of_the_command(recognizer, manifest, tmp_path, capsys):
    arguments = ["evaluate", str(recognizer.folder), str(manifest), "--compare-streaming", "--look_ahead", "0,0"]
    assert cli.main([*arguments, "--device", "cpu", "--out", str(tmp_path)]) == 0
    table = (tmp_path / "streaming.md").read_text(encoding="utf-8")
    assert table.strip() in capsys.readouterr().out and len(table.splitlines()) == 4
    told = json.loads((tmp_path / "streaming.json").read_text(encoding="utf-8"))
    with open(tmp_path / "streaming.csv", encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["way"] for line in lines] == [row["way"] for row in told["rows"]] == ["offline", "streaming"]
    assert [float(line["WER"]) for line in lines] == [row["WER"] for row in told["rows"]]
    assert [int(line["timed"]) for line in lines] == [row["timed"] for row in told["rows"]] == [1, 1]
    assert "| first text p50, ms | p95 | first word p50, ms | p95 | timed |" in table
    assert (tmp_path / "streaming_test.png").read_bytes().startswith(b"\x89PNG")


def test_a_causal_conmamba(manifest, tmp_path):
    """It has one stream, which hears what the model hears offline."""
    folder = make_result(tmp_path / "run", "conmamba_causal/small", *CONMAMBA)
    arguments = ["evaluate", str(folder), str(manifest), "--compare-streaming", "--device", "cpu"]
    assert cli.main([*arguments, "--out", str(tmp_path / "out")]) == 0
    offline, streaming = json.loads((tmp_path / "out/streaming.json").read_text(encoding="utf-8"))["rows"]
    assert (offline["way"], streaming["way"], streaming["look_ahead_ms"]) == ("offline", "streaming", None)
    assert streaming["delay_ms"] == 42.5 and streaming["carried_kb"] > 1  # the front end's frames
    for measure in ("WER", "CER"):
        assert offline[measure] == streaming[measure] > 0
    assert len((tmp_path / "out/streaming.md").read_text(encoding="utf-8").splitlines()) == 4
    with open(tmp_path / "out/streaming.csv", encoding="utf-8", newline="") as file:
        assert [line["way"] for line in csv.DictReader(file)] == ["offline", "streaming"]
    assert (tmp_path / "out/streaming_test.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("family", "more", "words"),
    [
        (
            "ssm",
            ("--compare-streaming", "--look-ahead", "80"),
            "80 ms is not one of the model's: it has 240, 0; give one of these",
        ),
        ("ssm", ("--look-ahead", "240"), "--look-ahead and --chunk-ms go with --compare-streaming"),
        ("ssm", ("--compare-streaming", "--lm", "auto"), "leave --lm out"),
        ("ssm", ("--compare-streaming", "--lm", "auto", "--lm-weight", "1"), "leave --lm, --lm-weight out"),
        ("ssm", ("--compare-streaming", "--word-score", "1"), "leave --word-score out"),
        ("ssm", ("--compare-streaming", "--hotwords", "saa"), "leave --hotwords out"),
        ("ssm", ("--compare-streaming", "--hotword-weight", "2", "--digits"), "leave --hotword-weight, --digits out"),
        ("ssm", ("--compare-streaming", "--nbest", "2", "--jobs", "2"), "leave --nbest, --jobs out"),
        ("ssm", ("--compare-streaming", "--beam-size", "4"), "leave --beam-size out"),
        ("ssm", ("--compare-streaming", "--context", "saa"), "leave --context out"),
        ("ssm", ("--compare-streaming", "--batch-seconds", "60"), "leave --batch-seconds out"),
        ("conmamba", ("--compare-streaming",), "cannot stream: ConMambaEncoder is bidirectional"),
        ("conmamba", ("--compare-streaming",), "; to stream, train ssm.yaml, "),
        ("conmamba2-causal", ("--compare-streaming", "--look-ahead", "0"), "it has one only; leave it out"),
    ],
)
def test_refusals(recognizer, family, more, words, tmp_path, capsys):
    """Before any data are read."""
    folder = recognizer.folder if family == "ssm" else make_result(tmp_path / "run", *FAMILIES[family])
    assert cli.main(["evaluate", str(folder), str(tmp_path / "none.csv"), *more, "--device", "cpu"]) == 2
    printed = capsys.readouterr()
    assert words in printed.err and printed.err.count("\n") == 1 and not printed.out
