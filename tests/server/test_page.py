"""The page in a real browser."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile

from serenanet_modules.data.audio import SAMPLE_RATE, load
from serenanet_modules.inference import formats
from serenanet_modules.inference.transcript import Word
from serenanet_modules.server import app, page
from tests.support.browser import Browser, program
from tests.support.serving import Counting, until

needs_browser = pytest.mark.skipif(program() is None, reason="needs Chromium")
SHOWN = "document.querySelector('#words').innerText.trim() && !wave.hidden"
TOKEN = "a/b=?"
IDLE = "!record.disabled && document.querySelector('#model').textContent"


def test_small_and_from_here():
    """Under 60 kB in all, and nothing in it names another server."""
    files = [path.read_text(encoding="utf-8") for path in page.FILES.iterdir() if path.suffix in page.MEDIA]
    assert sum(len(text.encode()) for text in files) < 60_000
    assert not any("//" in text.replace("http://www.w3.org/2000/svg", "").replace("// ", "") for text in files)
    assert not any(word in text for text in files for word in ("innerHTML", "insertAdjacentHTML", "eval("))


def test_headers(serve):
    """Scripts, styles and connections of this server only; other files of the package are not the page's."""
    client = serve()
    answer = client.get("/")
    assert answer.status_code == 200 and answer.headers["Content-Type"].startswith("text/html")
    policy = dict(rule.split(" ", 1) for rule in answer.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'" and policy["script-src"] == policy["connect-src"] == "'self'"
    assert client.get("/page/main.js").headers["Content-Type"].startswith("text/javascript")
    for name in ("__init__.py", "nothing.js", "..%2fapp.py"):
        assert client.get(f"/page/{name}").status_code == 404


@pytest.fixture(scope="module")
def guarded(live):
    """The address of a server that wants a token, and whose model streams."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "LiveStream", Counting)
        with live(token=TOKEN) as address:
            yield address


@pytest.fixture(scope="module")
def browser(tmp_path_factory, clips):
    """A browser whose microphone hears the first clip."""
    folder = tmp_path_factory.mktemp("browser")
    soundfile.write(folder / "microphone.wav", load(clips[0]), SAMPLE_RATE, subtype="PCM_16")
    with Browser(folder / "profile", folder / "microphone.wav") as browser:
        yield browser


class Spelling:
    """A recogniser for which every token is a word: nobody has taught the tiny one to leave spaces."""

    def __init__(self, recognizer):
        self._recognizer = recognizer

    def __getattr__(self, name):
        return getattr(self._recognizer, name)

    def transcripts(self, sources, *options):
        for found in self._recognizer.transcripts(sources, *options):
            yield replace(found, segments=tuple(replace(s, words=tuple(map(_word, s.tokens))) for s in found.segments))


def _word(token):
    return Word(token.text.strip(), token.start, token.end, token.confidence)


@needs_browser
def test_upload_to_text(live, browser, recognizer, clips):
    """A file's words appear, a click plays one, keys reach them all, at a phone's width by night as well."""
    spelling = Spelling(recognizer)
    (expected,) = (found.words for found in spelling.transcripts([clips[0]]))
    with live(spelling) as address:
        browser.look(1000, 800)
        browser.open(address)
        browser.until(IDLE)
        assert browser.run("access.hidden")
        browser.choose("#file", clips[0])
        browser.until(SHOWN)
        assert browser.text("#words").split() == [word.text for word in expected] and len(expected) > 1
        _click_plays_a_word(browser, expected[-1])
        _keys_reach_everything(browser, expected)
        day = browser.run("getComputedStyle(document.body).backgroundColor")
        browser.look(360, 740, dark=True)
        assert browser.run("getComputedStyle(document.body).backgroundColor") != day
        assert browser.run("document.documentElement.scrollWidth") <= 360
        assert all(url.startswith((address, "data:", "blob:")) for url in browser.addresses())
        assert browser.complaints() == []


def _click_plays_a_word(browser, word):
    browser.run("[...document.querySelectorAll('#words button')].at(-1).click()")
    browser.until("!audio.seeking && audio.paused")
    assert word.end <= browser.run("audio.currentTime") < word.end + 0.5


def _keys_reach_everything(browser, words):
    browser.run("document.activeElement.blur()")
    browser.run("scrollTo(0, 0)")
    seen = []
    while len(seen) < 30 and seen[-1:] != ["vtt"]:
        browser.press("Tab", 9)
        seen.append(browser.run("document.activeElement.id || document.activeElement.textContent"))
        if seen[-1] == words[0].text:
            assert browser.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
            browser.press("ArrowRight", 39)
            assert browser.run("document.activeElement.textContent") == words[1].text
    stops = [stop for stop in dict.fromkeys(seen) if stop != "audio"]
    assert stops == ["file", "record", words[0].text, "copy", "txt", "srt", "vtt"]


@needs_browser
def test_token_errors_and_downloads(browser, guarded, clips, transcripts, tmp_path):
    """A field for the token where one is needed; errors are sentences; files are what `transcribe` writes."""
    browser.open(guarded)
    browser.until("!access.hidden")
    browser.run("token.value = 'wrong', access.requestSubmit()")
    browser.until("document.querySelector('#error').textContent.startsWith('This server wants its token')")
    browser.run(f"token.value = '{TOKEN}', access.requestSubmit()")
    browser.until(IDLE)
    assert browser.run("access.hidden")
    (tmp_path / "bad.wav").write_text("no audio")
    browser.choose("#file", tmp_path / "bad.wav")
    browser.until("document.querySelector('#error').textContent.startsWith('The audio file cannot be used')")
    browser.choose("#file", clips[1])
    browser.until(SHOWN)
    assert browser.text("#error") == ""
    for name in ("txt", "srt", "vtt"):
        assert _downloaded(browser, name, tmp_path) == formats.write(transcripts[1], name)


def _downloaded(browser, name, folder):
    """What a button saves."""
    browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    browser.run(f"document.querySelector('[data-format={name}]').click()")
    (path,) = until(lambda: list(folder.glob(f"*.{name}")), f"a {name} file", 60)
    return path.read_text(encoding="utf-8")


@needs_browser
@pytest.mark.parametrize("at_once", ["false", "true"])
def test_the_microphone(browser, guarded, at_once):
    """What it hears goes to the server as a file, or while it is heard; the result is the same page."""
    browser.open(guarded)
    browser.run(f"sessionStorage.setItem('token', '{TOKEN}')")
    browser.open(guarded)
    browser.until(IDLE)
    assert not browser.run("document.querySelector('#live-choice').hidden")
    browser.run(f"live.checked = {at_once}, record.click()")
    browser.until("record.textContent === 'Stop'")
    if at_once == "true":
        browser.until("partial.textContent.endsWith('thousand')")
    browser.run("new Promise((resolve) => setTimeout(resolve, 1000))")
    browser.run("record.click()")
    browser.until("!result.hidden && !wave.hidden && audio.duration > 0.5")
    assert browser.run("audio.src").startswith("blob:")
    assert browser.complaints() == []


@needs_browser
def test_resampling_in_the_browser(browser, guarded):
    """A tone keeps its pitch and size at 16 kHz, wherever the stream is cut; what 16 kHz cannot hold is gone."""
    browser.open(guarded)
    script = """(async () => {
        const { Resampler } = await import("./page/audio.js");
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
