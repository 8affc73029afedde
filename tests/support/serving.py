"""What tests of the server send it, what they expect of it, and recognisers that stand in for a real one."""

import threading
import time

import numpy as np
import soundfile

from serenanet_modules.data.audio import SAMPLE_RATE
from serenanet_modules.inference.transcript import Transcript

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

    def wishing(self, **asked):
        """As a recogniser's; it waits for the same."""
        other = Held(self._recognizer.wishing(**asked))
        other.sizes, other.go, other.began = self.sizes, self.go, self.began
        return other


class Counting:
    """Stands in for `LiveStream`: says how many samples it was fed, and in the end transcribes them."""

    def __init__(self, recognizer, rules=None, look_ahead=None, lm=None):
        self._recognizer, self._parts, self.given = recognizer, [np.empty(0, np.float32)], (rules, look_ahead, lm)
        self.text = ""

    def feed(self, samples):
        self._parts.append(samples)
        count = sum(map(len, self._parts))
        if count > 10**6:
            raise RuntimeError("too much")
        self.text = f"{count // 1000} thousand"
        return []

    def finish(self):
        samples = np.concatenate(self._parts)
        found = self._recognizer.transcribe([samples]) if len(samples) else []
        return [Transcript(s.text, found[0].duration, (s,)) for f in found for s in f.segments]

    def transcript(self, sentences):
        segments = tuple(segment for sentence in sentences for segment in sentence.segments)
        return Transcript(" ".join(s.text for s in segments), sum(map(len, self._parts)) / SAMPLE_RATE, segments)
