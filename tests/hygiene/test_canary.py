"""What a training is not to know stays where it belongs: words of dev and test in the files that score them."""

import gzip

import pytest

from serenanet_modules.data.units import load_units
from serenanet_modules.decoding.arpa import NGram
from tests.support.tiny import Run, command, make_corpus

CANARIES = {"dev": "paxanoqi", "test": "xuqatami"}  # words, and letters, that no training sentence has
TRAIN = ["mama anakula ndizi", "baba anapika wali", "watoto wanacheza mpira", "mbwa wangu analala nyumbani"] * 3
SIZES = {"train": len(TRAIN), "dev": 3, "test": 3}
MAY_SAY = ("decoded_*.csv", "wer_*.txt", "per_*.txt", "examples.npz")  # references beside what was heard


@pytest.mark.slow
@pytest.mark.parametrize("units", ["char", "bpe", "phoneme"])
def test_words_of_dev_and_test(tmp_path, units):
    """Neither units, lexicon, language model, weights, logs nor cards hold one; the manifest and the scores do."""
    held_out = [f"{CANARIES[split]} nyumbani" for split in ("dev", "test") for _ in range(SIZES[split])]
    corpus = make_corpus(tmp_path / "sw", texts=[*TRAIN, *held_out], sizes=SIZES)
    more = ["--units", units, "--number_of_epochs", 1, "--lr", 1e-5, "--scoring", "decoder"]
    more += ["--vocab_size", 24] if units == "bpe" else []
    folder = Run(command(corpus, tmp_path / "run", *more), tmp_path / "run").done().folder
    files = {path for path in folder.rglob("*") if path.is_file()}
    allowed = {path for pattern in MAY_SAY for path in folder.glob(pattern)}
    assert {"units.json", "lm.arpa", "weights.safetensors", "result.json"} <= {path.name for path in files - allowed}
    assert (folder / "save/lexicon.tsv").is_file() == (units == "phoneme")
    for word in CANARIES.values():
        assert [path for path in files - allowed if holds(path, word)] == []
        assert any(holds(path, word) for path in allowed)  # else it was not there to be found
        assert word not in NGram(folder / "save/lm.arpa")
    assert all(
        holds(manifest, word) for manifest in corpus.glob("prepared/*/manifest.csv") for word in CANARIES.values()
    )
    assert not set("xq") & set("".join(load_units(folder / "save/units").pieces[2:]))


def holds(path, word):
    """Whether a file's bytes hold a word, or its phones apart or together."""
    data = path.read_bytes()
    data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    return any(text.encode() in data.lower() for text in (word, " ".join(word)))
