"""What tests of the server send it, what they expect of it, and recognisers that stand in for a real one."""

import threading
import time

import numpy as np
import soundfile

from serenanet_modules.data.audio import SAMPLE_RATE

URL = "/v1/audio/transcriptions"
STREAM = "/v1/audio/stream"


def post(client, content, name="a.wav", **options):
    return client.post(URL, files={"file": (name, content)}, **options)


def sound(path, seconds, rate=SAMPLE_RATE, channels=1):
    """The bytes of a quiet recording."""
    soundfile.write(path, np.full((int(seconds * rate), channels), 1e-3), rate)
    return path.read_bytes()


def refused(response, status, code=None):
    """The sentence of a refusal, which has OpenAI's shape and these marks."""
    assert response.status_code == status, response.text
    (error,) = response.json().values()
    assert set(error) == {"message", "type", "param", "code"} and error["message"]
    assert error["code"] == code
    return error["message"]


def until(condition, what, seconds):
    """Wait for ``condition()``, and return it."""
    limit = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < limit, f"waited {seconds} s for {what}"
        time.sleep(0.05)
    return found


class Held:
    """A recogniser whose network waits for `go`, and remembers the sizes of its batches."""

    def __init__(self, recognizer):
        self._recognizer, self.sizes = recognizer, []
        self.go, self.began = threading.Event(), threading.Event()

    def __getattr__(self, name):
        return getattr(self._recognizer, name)

    def transcripts(self, sources, *options):
        self.sizes.append(len(sources))
        self.began.set()
        self.go.wait(60)
        yield from self._recognizer.transcripts(sources, *options)


class Counting:
    """Stands in for `Streamer`: says how many samples it was fed, and in the end transcribes them."""

    def __init__(self, recognizer):
        self._recognizer, self._parts = recognizer, [np.empty(0, np.float32)]

    def feed(self, samples):
        self._parts.append(samples)
        count = sum(map(len, self._parts))
        if count > 10**6:
            raise RuntimeError("too much")
        return f"{count // 1000} thousand"

    def finish(self):
        return self._recognizer.transcribe([np.concatenate(self._parts)])[0]
