"""Servers around the tiny recogniser: in this process, and live on a port."""

import contextlib
import threading

import pytest

pytest.importorskip("fastapi", reason="the server's packages are not installed")

from starlette.testclient import TestClient

from serenanet_modules.server import run
from serenanet_modules.server.app import make_app
from serenanet_modules.server.options import Options


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
            app = make_app(model if isinstance(model, dict) else {"tiny": model}, Options(**options))
            return stack.enter_context(TestClient(app, raise_server_exceptions=False))

        yield serving


@pytest.fixture(scope="session")
def live(recognizer):
    """``with live(**options) as address``: a server on a port of its own, in a thread."""

    @contextlib.contextmanager
    def serving(model=recognizer, **options):
        listener = run.listen("127.0.0.1", 0)
        server = run.Server(
            make_app(model if isinstance(model, dict) else {"tiny": model}, Options(**options)), log_level="warning"
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()

    return serving
