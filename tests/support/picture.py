"""The pictures of the page that the documents show: `python -m tests.support.picture RESULT_DIR docs/images/page.png`.

The one of the dark page is called ``page_dark.png``.

Eight clips of the embedded corpus's test set, one after another, as an interview; two segments checked, a word heard.
"""

import csv
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import soundfile

from serenanet_modules.data.audio import SAMPLE_RATE, load
from serenanet_modules.inference.recognizer import Recognizer
from serenanet_modules.server import run
from serenanet_modules.server.app import make_app
from serenanet_modules.server.options import Options
from tests.support.browser import Browser

CORPUS = Path(__file__).resolve().parents[1] / "sample" / "CommonVoice" / "sw"
CLIPS, PAUSE = 8, 0.6  # seconds between them
SHOWN = "document.querySelectorAll('#segments .word').length && document.querySelector('#result').hidden === false"


def interview(path):
    """Write the clips as one recording."""
    with open(CORPUS / "test.tsv", encoding="utf-8") as table:
        rows = [row["path"] for row in csv.DictReader(table, delimiter="\t")][:CLIPS]
    parts = [part for name in rows for part in (load(CORPUS / "clips" / name), np.zeros(int(PAUSE * SAMPLE_RATE)))]
    soundfile.write(path, np.concatenate(parts), SAMPLE_RATE)


def picture(address, recording, out, folder):
    """Take it, of a server at an address."""
    with Browser(folder / "profile") as browser:
        browser.look(900, 760)
        browser.open(address)
        browser.until("document.querySelector('#model').value")
        browser.choose("#file", recording)
        browser.until(SHOWN)
        for row in range(2):
            browser.run(f"document.querySelectorAll('#segments .tick')[{row}].click()")
        word = "document.querySelectorAll('#segments li')[2].querySelectorAll('.word')[2]"
        browser.run(f"{word}.click()")
        browser.until("!audio.seeking && audio.paused && audio.currentTime > 0")
        browser.run(f"audio.currentTime = parseFloat({word}.title) + 0.1")  # its title begins with its start
        browser.until("!audio.seeking && document.querySelector('.playing')?.isConnected")
        for dark, path in ((False, out), (True, out.with_stem(f"{out.stem}_dark"))):
            browser.look(900, 760, dark=dark)
            browser.run("new Promise((resolve) => setTimeout(resolve, 500))")
            browser.picture(path)


def main(folder, out):
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        interview(place / "mahojiano.wav")
        (place / "kept").mkdir()
        app = make_app({"swahili": Recognizer.from_folder(folder)}, Options(corrections=place / "kept"))
        listener = run.listen("127.0.0.1", 0)
        server = run.Server(app, log_level="warning")
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            picture(f"http://127.0.0.1:{listener.getsockname()[1]}", place / "mahojiano.wav", Path(out), place)
        finally:
            server.should_exit = True
            thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
