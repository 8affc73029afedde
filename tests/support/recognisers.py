"""Tiny result folders, of characters, of phonemes and of a speech LLM, for all tests of what is done with one."""

import pytest

from serenanet_modules.inference.recognizer import Recognizer
from tests.support.folders import make_corpus_and_result, make_random_speech_llm


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """(corpus, result folder) of a character model."""
    return make_corpus_and_result(tmp_path_factory.mktemp("characters"))


@pytest.fixture(scope="session")
def phonemic(tmp_path_factory):
    """(corpus, result folder) of a phoneme model."""
    return make_corpus_and_result(tmp_path_factory.mktemp("phonemes"), "--units", "phoneme")


@pytest.fixture(scope="session")
def speech_llm_folder(tmp_path_factory):
    """The result folder of a speech LLM that nobody trained, of characters."""
    return make_random_speech_llm(tmp_path_factory.mktemp("speech_llm") / "llm")


@pytest.fixture(scope="session")
def recognizer(tiny):
    return Recognizer.from_folder(tiny[1])


@pytest.fixture(scope="session")
def clips(tiny):
    """Paths of the corpus's mp3 files."""
    return sorted((tiny[0] / "clips").glob("*.mp3"))
