"""Words that are expected: how they are given, and what a recogniser makes of them."""

import pytest

from serenanet_modules.data.text import PLAIN
from serenanet_modules.errors import UserError
from serenanet_modules.inference.hotwords import read_hotwords
from serenanet_modules.inference.recognizer import Recognizer
from tests.support.folders import make_random_result
from tests.support.presets import preset

HYBRID = {"d_model": 24, "n_mels": 40, "features.n_fft": 512, "encoder.n_layers": 1, "attention_decoder.n_layers": 1}
SPELLING = ("sw", PLAIN, frozenset())


def test_given_with_commas_or_a_line_each(tmp_path):
    """Written as the recogniser writes them; the words of a phrase each count, and each of their letters."""
    path = tmp_path / "words.txt"
    path.write_text("Ng\u2019ombe\n\nChakula kitamu\n", encoding="utf-8")
    expected = {"ng'ombe": 14.0, "chakula": 14.0, "kitamu": 12.0}
    assert (
        read_hotwords(str(path), SPELLING, 2.0) == expected == read_hotwords("Ng'ombe, chakula kitamu,", SPELLING, 2.0)
    )


@pytest.mark.parametrize(("given", "says"), [("", "holds no word"), (" , ,", "holds no word"), ("?!", "nothing of it")])
def test_no_word_is_an_error(given, says):
    with pytest.raises(UserError, match=says):
        read_hotwords(given, SPELLING)


def test_no_word_is_longer_than_one_can_be():
    """Whose spelling would take as long as a transcription, and longer."""
    assert len(read_hotwords("a" * 200, SPELLING)) == 1
    with pytest.raises(UserError, match="has a word of 100000 letters; 200 at most"):
        read_hotwords(f"kisu,{'a' * 100_000}", SPELLING)


@pytest.mark.parametrize("given", ["words.txt", "./words", "/dev/zero", "my words.TXT"])
def test_a_file_that_is_not_there_is_no_word(given):
    with pytest.raises(UserError, match="there is no such file"):
        read_hotwords(given, SPELLING)


def test_a_model_with_a_label_decoder_searches_its_ctc_head(tmp_path, clips):
    """For hotwords, which are found; without them it searches jointly."""
    folder = make_random_result(
        tmp_path / "run", preset("conmamba_s2s"), *((name, str(value)) for name, value in HYBRID.items())
    )
    recognizer = Recognizer.from_folder(folder)
    expecting = recognizer.wishing(hotwords=(("baba", 120.0),))
    assert recognizer.decoder().name == "attention/beam"
    assert expecting.decoder().name == "decoder/prefix-beam+hotwords"
    assert "baba" not in recognizer.transcribe(clips[0]).text
    assert "baba" in expecting.transcribe(clips[0]).text.split()
    with pytest.raises(UserError, match="CTC beam search takes a word n-gram model"):
        expecting.decoder(tmp_path)


def test_a_file_that_is_not_text(tmp_path):
    (tmp_path / "words").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="cannot be read as hotwords"):
        read_hotwords(str(tmp_path / "words"), SPELLING)
