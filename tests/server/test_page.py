"""The page, as far as it can be known without a browser, and in a real one without a network."""

import json
import re
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from serenanet_modules.data import custom
from serenanet_modules.data.audio import SAMPLE_RATE, load
from serenanet_modules.inference import formats
from serenanet_modules.inference.transcript import Word
from serenanet_modules.server import app, page
from tests.support.browser import Browser, program
from tests.support.serving import Counting, Held, until

needs_browser = pytest.mark.skipif(program() is None, reason="needs Chromium")
FILES = {path.name: path.read_text(encoding="utf-8") for path in page.FILES.iterdir() if path.suffix in page.MEDIA}
TOKEN = "a/b=?"
READY = "document.querySelector('#model').value"
SHOWN = "!result.hidden && document.querySelectorAll('#segments .word').length"
ENTER, ESCAPE, CTRL = ("Enter", 13, "\r"), ("Escape", 27), 2


# --- without a browser ------------------------------------------------------------------------------------------------


def test_small_and_from_here():
    """Under 100 kB in all, and nothing in it names another server."""
    assert sum(len(text.encode()) for text in FILES.values()) < 100_000
    for name, text in FILES.items():
        assert "//" not in text.replace("http://www.w3.org/2000/svg", "").replace("// ", ""), name
        assert not any(word in text for word in ("innerHTML", "insertAdjacentHTML", "eval(")), name


def test_headers(serve):
    """Scripts, styles and connections of this server only; other files of the package are not the page's."""
    client = serve()
    for address in ("/", "/docs"):
        answer = client.get(address)
        assert answer.status_code == 200 and answer.headers["Content-Type"].startswith("text/html")
        policy = dict(rule.split(" ", 1) for rule in answer.headers["Content-Security-Policy"].split("; "))
        assert policy["default-src"] == "'none'" and policy["script-src"] == policy["connect-src"] == "'self'"
    assert client.get("/page/main.js").headers["Content-Type"].startswith("text/javascript")
    for name in ("__init__.py", "nothing.js", "..%2fapp.py"):
        assert client.get(f"/page/{name}").status_code == 404


def test_both_languages_say_everything():
    """With the same values in their sentences; the server's own sentences are English already."""
    sentences = [
        dict(re.findall(r'^  (\w+): "(.*)",$', FILES[f"words_{tag}.js"], re.MULTILINE)) for tag in ("en", "sw")
    ]
    english, swahili = (
        {key: sorted(re.findall(r"\{\w+\}", text)) for key, text in found.items()} for found in sentences
    )
    assert english == {key: values for key, values in swahili.items() if not key.startswith("error_")}
    used = set(re.findall(r'data-(?:say|label)="(\w+)"', FILES["index.html"]))
    used |= {key for text in FILES.values() for key in re.findall(r'\bsay\("(\w+)"', text)}
    assert used and used <= set(english)


def test_contrast():
    """WCAG 2.1: text 4.5 against what it stands on, borders of fields 3, by day and by night."""
    day, night = (dict(re.findall(r"--([\w-]+): (#\w{6})", rules)) for rules in FILES["page.css"].split("@media")[:2])
    for colours in (day, {**day, **night}):
        for ink in ("ink", "quiet", "accent", "bad", "good"):
            for ground in ("ground", "panel"):
                assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
        for ground in ("middle", "low", "playing"):
            assert contrast(colours["ink"], colours[ground]) >= 4.5, ground
        assert contrast(colours["on-accent"], colours["accent"]) >= 4.5
        assert contrast(colours["line"], colours["ground"]) >= 3


def contrast(one, other):
    def light(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05

    return max(light(one), light(other)) / min(light(one), light(other))


# --- in a browser -----------------------------------------------------------------------------------------------------


class Spelling:
    """A recogniser for which every token is a word: nobody has taught the tiny one to leave spaces."""

    def __init__(self, recognizer):
        self._recognizer = recognizer

    def __getattr__(self, name):
        return getattr(self._recognizer, name)

    def transcripts(self, sources, *options):
        for found in self._recognizer.transcripts(sources, *options):
            segments = [replace(s, words=tuple(map(_word, s.tokens))) for s in found.segments]
            segments = [replace(s, text=" ".join(word.text for word in s.words)) for s in segments]
            yield replace(found, segments=tuple(segments), text=" ".join(s.text for s in segments))


def _word(token):
    return Word(token.text.strip() or "-", token.start, token.end, token.confidence)


@pytest.fixture(scope="module")
def browser(tmp_path_factory, clips):
    """A browser whose microphone hears the first clip."""
    folder = tmp_path_factory.mktemp("browser")
    soundfile.write(folder / "microphone.wav", load(clips[0]), SAMPLE_RATE, subtype="PCM_16")
    with Browser(folder / "profile", folder / "microphone.wav") as browser:
        yield browser


@pytest.fixture(scope="module")
def keeping(live, recognizer, tmp_path_factory):
    """(address, folder) of a server that keeps corrections."""
    folder = tmp_path_factory.mktemp("corrections")
    with live(Spelling(recognizer), corrections=folder) as address:
        yield address, folder


@pytest.fixture(scope="module")
def guarded(live):
    """The address of a server that wants a token, and whose model streams."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "LiveStream", Counting)
        with live(token=TOKEN) as address:
            yield address


def shown(browser, address, *files):
    """Open the page with files transcribed; the words of the first one."""
    browser.open(address)
    browser.until(READY)
    browser.choose("#file", *files)
    browser.until(SHOWN)
    return browser.text("#segments .words").split()


def texts(browser):
    return browser.run("[...document.querySelectorAll('#segments .words')].map((one) => one.innerText.trim())")


@needs_browser
@pytest.mark.parametrize("width", [1000, 360])
def test_from_a_file_to_what_a_training_reads(browser, keeping, clips, width):
    """By keys alone: a text is corrected, split, joined, taken back, done again, checked, and kept with its audio."""
    address, folder = keeping
    browser.look(width, 800, dark=width < 500)
    clip = clips[0 if width < 500 else 1]
    words = shown(browser, address, clip)
    assert len(words) > 3
    browser.run("document.querySelector('#segments .word').focus()")
    browser.press("e")
    browser.until("document.activeElement.matches('textarea')")
    browser.run("document.activeElement.select()")
    browser.type("habari ya  leo")
    browser.run("document.querySelector('.editing input').select()")
    browser.type("0.25")
    browser.press(*ENTER)
    browser.until("!document.querySelector('textarea')")
    assert texts(browser) == ["habari ya leo"]
    browser.run("document.querySelectorAll('#segments .word')[1].focus()")
    browser.press("s")
    assert texts(browser) == ["habari", "ya leo"]
    browser.press("z", 90, held=CTRL)
    assert texts(browser) == ["habari ya leo"]
    browser.press("y", 89, held=CTRL)
    browser.press("ArrowUp", 38)
    browser.press("m")
    assert texts(browser) == ["habari ya leo"] and browser.text("#save-count").startswith("1 of 1")
    browser.run("save.click()")
    browser.until("saved.textContent.includes('.eaf')")
    found = {candidate.text: candidate for candidate in custom.candidates(folder, "sw", shares={"train": 1})}
    kept = found["habari ya leo"]
    assert (
        load(kept.path).tolist() == load(clip).tolist()
        and 0.25 == kept.start < kept.end <= len(load(clip)) / SAMPLE_RATE
    )
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert all(name for _, name in browser.named())
    _tab_reaches_everything(browser)
    assert all(url.startswith((address, "data:", "blob:")) for url in browser.addresses())
    assert browser.complaints() == []
    for path in folder.iterdir():
        path.unlink()


def _tab_reaches_everything(browser):
    """That can be worked with, and it is seen where the cursor is."""
    browser.run("document.activeElement.blur(), scrollTo(0, 0)")
    stops = "[...document.querySelectorAll('a, button, input, select')].filter((one) => one.checkVisibility())"
    stops += ".filter((one) => !one.disabled && one.tabIndex >= 0)"
    for _ in range(browser.run(f"{stops}.length") + 2):
        browser.press("Tab", 9)
        browser.run("document.activeElement.dataset.seen = getComputedStyle(document.activeElement).outlineStyle")
    seen = browser.run(f"{stops}.map((one) => [one.id, one.dataset.seen])")
    assert len(seen) > 15 and all(style == "solid" for name, style in seen if name != "file")  # which has a label
    assert dict(seen)["file"]


@needs_browser
def test_a_click_plays_a_word_in_a_player_that_stays_in_view(browser, keeping, clips, recognizer):
    address, _ = keeping
    browser.look(360, 500)
    shown(browser, address, clips[0])
    (expected,) = (found.words for found in Spelling(recognizer).transcripts([clips[0]]))
    browser.until("audio.duration > 0.5")
    browser.run("[...document.querySelectorAll('#segments .word')].at(-1).click()")
    browser.until("!audio.seeking && audio.paused && audio.currentTime > 0")
    assert expected[-1].end - 0.05 <= browser.run("audio.currentTime") < expected[-1].end + 0.5
    browser.run("scrollTo(0, document.body.scrollHeight)")
    assert -1 <= browser.run("deck.getBoundingClientRect().top") < 500
    low = sum(word.confidence < 0.6 for word in expected)
    assert low == browser.run("document.querySelectorAll('#segments .low').length") > 0
    style = "getComputedStyle(document.querySelector('#segments .low'))"
    assert browser.run(f"{style}.borderBottomStyle") == "solid"  # not by colour alone


@needs_browser
def test_borders_of_a_segment(browser, keeping, clips, recognizer):
    """They are pulled on the picture of the sound, or put where the player is; a click elsewhere goes there."""
    browser.look(1000, 800)
    shown(browser, keeping[0], clips[0])
    (found,) = Spelling(recognizer).transcripts([clips[0]])
    (segment,), wide = found.segments, browser.run("wave.clientWidth") / found.duration
    fields = "[...document.querySelectorAll('.editing input')].map((one) => Number(one.value))"
    times = f"(() => {{ edit.click(); const found = {fields}; document.activeElement.blur(); return found; }})()"
    assert browser.run(times) == pytest.approx([segment.start, segment.end], abs=0.01)
    browser.drag("#wave", segment.end * wide - 3, (segment.end - 0.5) * wide)
    assert browser.run(times) == pytest.approx([segment.start, segment.end - 0.5], abs=0.02)
    browser.until("audio.duration > 0.5")
    browser.drag("#wave", 1.0 * wide, 1.0 * wide)
    browser.until("!audio.seeking && audio.currentTime > 0.9")
    browser.run("document.querySelector('#segments .word').focus()")
    browser.press("i")
    assert browser.run(times) == pytest.approx([1.0, segment.end - 0.5], abs=0.02)
    browser.run("undo.click(), undo.click()")
    assert browser.run(times) == pytest.approx([segment.start, segment.end], abs=0.01)
    assert browser.complaints() == []


@needs_browser
def test_several_files_and_one_that_is_cancelled(browser, live, recognizer, clips, tmp_path):
    """What waits says so; a cancelled one can be tried again, a bad one says why, and so do expected words."""
    held = Held(recognizer)
    (tmp_path / "bad.wav").write_text("no audio")
    with live(held) as address:
        browser.look(1000, 800)
        browser.open(address)
        browser.until(READY)
        browser.run("hotwords.value = ','")
        browser.choose("#file", clips[0])
        browser.until("document.querySelector('#queue .state')?.textContent.startsWith('Hotwords: holds no word')")
        browser.run("hotwords.value = 'Zawadi, mama', document.querySelector('[data-work=remove]').click()")
        browser.choose("#file", clips[0], clips[1], tmp_path / "bad.wav")
        states = "[...document.querySelectorAll('#queue li')].map((row) => row.dataset.state).join()"
        browser.until(f"{states}.endsWith(',waiting') && {states}.startsWith('queued')")
        browser.run("document.querySelectorAll('[data-work=cancel]')[1].click()")
        browser.until(f"{states}.split(',')[1] === 'cancelled' && {states}.split(',')[2] === 'failed'")
        assert browser.text("#queue li:last-child .state").startswith("The audio file cannot be used")
        held.go.set()
        browser.run("document.querySelectorAll('[data-work=retry]')[1].click()")
        browser.until(f"{states} === 'done,done,failed'")
        assert browser.text("#announced").startswith(clips[1].name)


@needs_browser
def test_token_languages_and_downloads(browser, guarded, clips, transcripts, tmp_path):
    """A wrong token is asked for again; the page speaks Swahili; files are what `transcribe` writes."""
    browser.look(1000, 800)
    browser.open(guarded)
    browser.until("!access.hidden")
    browser.run("token.value = 'wrong', access.requestSubmit()")
    browser.until("!document.querySelector('#access-wrong').hidden")
    browser.run(f"token.value = '{TOKEN}', access.requestSubmit()")
    browser.until(READY)
    assert browser.run("access.hidden")
    browser.choose("#file", clips[1])
    browser.until(SHOWN)
    browser.saves_to(tmp_path)
    for name in ("srt", "tsv", "textgrid"):
        browser.run(f"format.value = '{name}', download.click()")
        (path,) = until(lambda name=name: list(tmp_path.glob(f"*.{formats.SUFFIXES[name]}")), f"a {name} file", 60)
        expected = formats.write(transcripts[1], name)
        assert path.read_text(encoding="utf-8").splitlines()[:9] == expected.splitlines()[:9]
    browser.run("document.querySelector('[data-language=sw]').click()")
    assert browser.text("#copy") == "Nakili maandishi" and browser.run("document.documentElement.lang") == "sw"
    browser.run("document.querySelector('#check-all').click(), save.click()")
    (archive,) = until(lambda: list(tmp_path.glob("*.zip")), "an archive", 60)
    with zipfile.ZipFile(archive) as files:
        assert files.testzip() is None
        files.extractall(tmp_path / "corrected")
    (found,) = custom.candidates(tmp_path / "corrected", "sw", shares={"train": 1})
    assert found.start == max(0.0, transcripts[1].words[0].start - formats.ROOM)  # nobody has cut it
    assert found.text == transcripts[1].text and found.path.read_bytes() == clips[1].read_bytes()
    browser.run("document.querySelector('[data-language=en]').click()")


@needs_browser
@pytest.mark.parametrize("at_once", ["false", "true"])
def test_the_microphone(browser, guarded, at_once):
    """What it hears goes to the server as a file, or while it is heard; the result is the same page."""
    browser.open(guarded)
    browser.run(f"sessionStorage.setItem('token', '{TOKEN}')")
    browser.open(guarded)
    browser.until(READY)
    assert not browser.run("document.querySelector('#live-choice').hidden")
    browser.run(f"hotwords.value = 'mama', live.checked = {at_once}, record.click()")
    browser.until("record.textContent === 'Stop'")
    if at_once == "true":
        browser.until("partial.textContent.endsWith('thousand')")
    browser.run("new Promise((resolve) => setTimeout(resolve, 1000))")
    browser.run("record.click()")
    browser.until("!result.hidden && audio.duration > 0.5")
    assert browser.complaints() == []


@needs_browser
def test_the_api_is_described_without_a_network(browser, keeping):
    """Every path of openapi.json, with its fields; only this server is asked."""
    address, _ = keeping
    browser.open(f"{address}/docs")
    browser.until("document.querySelectorAll('details').length > 3")
    text = browser.run("document.body.textContent")
    for part in ("POST /v1/audio/transcriptions", "timestamp_granularities[]", "GET /metrics", "/v1/corrections"):
        assert part in text
    assert all(url.startswith(address) for url in browser.addresses()) and browser.complaints() == []


@needs_browser
def test_times_of_corrected_words(browser, keeping):
    """What was there keeps its time, what stands in its place gets it, what is new lies between its neighbours."""
    address, _ = keeping
    browser.open(address)
    words = [("a", 0, 1), ("b", 1, 2), ("c", 3, 4)]
    segment = {"start": 0, "end": 4, "words": [dict(zip(("word", "start", "end"), w, strict=True)) for w in words]}
    script = "(async () => (await import('./page/retime.js')).retimed(%s, %s))()"
    for text, expected in {
        "a b c": words,
        "a x c": [words[0], ("x", 1, 2), words[2]],
        "a c": [words[0], words[2]],
        "a b nn m c": [*words[:2], ("nn", 2, 2 + 2 / 3), ("m", 2 + 2 / 3, 3), words[2]],
        "xx yy zz b": [("xx", 0, 1 / 3), ("yy", 1 / 3, 2 / 3), ("zz", 2 / 3, 1), words[1]],
        "": [],
    }.items():
        found = browser.run(script % (json.dumps(segment), json.dumps(text)))
        assert [word["word"] for word in found] == [word for word, *_ in expected]
        assert [t for w in found for t in (w["start"], w["end"])] == pytest.approx([t for _, *w in expected for t in w])


@needs_browser
def test_times_of_segments(browser, keeping):
    """They end at their neighbours; words are cut, or spread anew if one would lie outside; nonsense is no change."""
    address, _ = keeping
    browser.open(address)
    words = [{"word": w, "start": s, "end": s + 1, "confidence": 0.5} for w, s in (("a", 0), ("b", 2), ("c", 5))]
    segments = [{"start": 0, "end": 3, "text": "a b"}, {"start": 5, "end": 6, "text": "c"}]
    told = json.dumps({"duration": 8, "calibrated": True, "words": words, "segments": segments})
    script = """(async () => {
        const { Transcript } = await import("./page/transcript.js");
        return %s.map(([at, times]) => {
            const found = new Transcript(%s);
            const changed = found.write(at, times);
            const { start, end, words } = found.segments[at];
            return [changed, start, end, ...words.flatMap((word) => [word.start, word.end])];
        });
    })()"""
    cases = {
        (0, ("start", 0.5)): [True, 0.5, 3, 0.5, 1, 2, 3],
        (0, ("end", 7)): [True, 0, 5, 0, 1, 2, 3],
        (0, ("start", 1.5)): [True, 1.5, 3, 1.5, 2.25, 2.25, 3],
        (1, ("end", 99)): [True, 5, 8, 5, 6],
        (1, ("start", 7)): [False, 5, 6, 5, 6],
        (0, ("text", "a  b")): [False, 0, 3, 0, 1, 2, 3],
    }
    asked = json.dumps([(at, dict([change])) for at, change in cases])
    assert browser.run(script % (asked, told)) == list(cases.values())


@needs_browser
def test_resampling_in_the_browser(browser, guarded):
    """A tone keeps its pitch and size at 16 kHz, wherever the stream is cut; what 16 kHz cannot hold is gone."""
    browser.open(guarded)
    script = """(async () => {
        const { Resampler } = await import("./page/resample.js");
        const turn = (2 * Math.PI) / 44100;
        const tone = (pitch) => Float32Array.from({ length: 44100 }, (_, i) => Math.sin(pitch * turn * i));
        const parts = (x, size, resampler = new Resampler(44100, 16000), out = []) => {
            for (let at = 0; at < x.length; at += size) out.push(...resampler.push(x.slice(at, at + size)));
            return out;
        };
        return [parts(tone(1000), 1e9), parts(tone(1000), 777), parts(tone(12000), 2048)];
    })()"""
    whole, cut, gone = map(np.array, browser.run(script))
    expected = np.sin(2 * np.pi * 1000 * np.arange(len(whole)) / SAMPLE_RATE)
    assert len(whole) > 0.99 * SAMPLE_RATE and (whole == cut).all()
    inside = slice(100, -100)
    assert abs(whole - expected)[inside].max() < 1e-3 and abs(gone)[inside].max() < 1e-2
