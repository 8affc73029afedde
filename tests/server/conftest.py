"""Servers around the tiny recogniser: in this process, and live on a port."""

import contextlib
import threading

import pytest

pytest.importorskip("fastapi", reason="the server's packages are not installed")

from starlette.testclient import TestClient

from serenanet_modules.server import run
from serenanet_modules.server.app import make_app
from serenanet_modules.server.options import Options

URL = "/v1/audio/transcriptions"


@pytest.fixture(scope="session")
def transcripts(recognizer, clips):
    """Every clip's transcript when nothing stands beside it."""
    found = [recognizer.transcribe([clip])[0] for clip in clips]
    assert len({transcript.text for transcript in found}) > len(clips) / 2  # else the tests below prove nothing
    return found


@pytest.fixture
def serve(recognizer):
    """A client of a server with some options: ``serve(token="x")``, ``serve(FakeRecognizer(), max_queue=1)``."""
    with contextlib.ExitStack() as stack:

        def serving(model=recognizer, **options):
            app = make_app(model, Options(name="tiny", **options))
            return stack.enter_context(TestClient(app, raise_server_exceptions=False))

        yield serving


@pytest.fixture(scope="session")
def live(recognizer):
    """``with live(**options) as address``: a server on a port of its own, in a thread."""

    @contextlib.contextmanager
    def serving(model=recognizer, **options):
        listener = run.listen("127.0.0.1", 0)
        server = run.Server(make_app(model, Options(name="tiny", **options)), log_level="warning")
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()

    return serving


def refused(response, status, code=None):
    """The sentence of a refusal, which has OpenAI's shape and these marks."""
    assert response.status_code == status, response.text
    (error,) = response.json().values()
    assert set(error) == {"message", "type", "param", "code"} and error["message"]
    assert error["code"] == code
    return error["message"]


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
