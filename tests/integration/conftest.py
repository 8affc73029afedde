"""One tiny corpus and one uninterrupted run that the others are compared with."""

import socket

import pytest

from tests.support import hooks
from tests.support.tiny import PAIRS, Run, command, make_corpus


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """A release of 24 training, 6 dev and 6 test clips."""
    return make_corpus(tmp_path_factory.mktemp("corpus") / "sw")


@pytest.fixture(scope="session")
def reference(corpus, tmp_path_factory):
    """A whole job that nothing disturbed, two micro-batches a step."""
    folder = tmp_path_factory.mktemp("reference") / "run"
    return Run(command(corpus, folder, *PAIRS), folder, [hooks.record]).done()


@pytest.fixture
def train(corpus, tmp_path):
    """Start a run: ``train(*arguments, hooks=(), folder=…) -> Run``."""
    runs = []

    def start(*arguments, hooks=(), environment=None, folder=None, corpus=corpus, **options):
        folder = folder or tmp_path / "run"
        runs.append(Run(command(corpus, folder, *arguments, **options), folder, hooks, environment))
        return runs[-1]

    yield start
    for run in runs:
        if run.process.is_alive():
            run.process.kill()


@pytest.fixture
def train_both(train):
    """Start two processes as torchrun would, without importing everything twice more."""

    def start(*arguments, **options):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        launch = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        return [train(*arguments, environment=launch | {"RANK": rank, "LOCAL_RANK": rank}, **options) for rank in "01"]

    return start
