"""One tiny result folder of characters and one of phonemes for all tests of what is done with a recogniser."""

import pytest

from serenanet_modules.inference.recognizer import Recognizer
from tests.support.folders import make_corpus_and_result


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """(corpus, result folder) of a character model."""
    return make_corpus_and_result(tmp_path_factory.mktemp("characters"))


@pytest.fixture(scope="session")
def phonemic(tmp_path_factory):
    """(corpus, result folder) of a phoneme model."""
    return make_corpus_and_result(tmp_path_factory.mktemp("phonemes"), "--units", "phoneme")


@pytest.fixture(scope="session")
def recognizer(tiny):
    return Recognizer.from_folder(tiny[1])


@pytest.fixture(scope="session")
def clips(tiny):
    """Paths of the corpus's mp3 files."""
    return sorted((tiny[0] / "clips").glob("*.mp3"))
