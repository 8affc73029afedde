"""The table of what was said and heard."""

import csv
import dataclasses

from serenanet_modules.data.manifest import Utterance
from serenanet_modules.runs.decoded import write_decoded

WHOLE = Utterance("u1", "u1.flac", 1.0, 'habari, "wewe"', "h a", "amina", "sw", "test")
PART = dataclasses.replace(WHOLE, id="u2", speaker="", recording="radio-1")


def test_whose_each_utterance_is(tmp_path):
    """A file of its own is a recording of its own."""
    write_decoded(tmp_path, "test", [WHOLE, PART], {"decoder/greedy": {"u1": "habari", "u2": ""}})
    with open(tmp_path / "decoded_test.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["speaker"], row["recording"]) for row in rows] == [("amina", "u1"), ("", "radio-1")]
    assert [row["reference"] for row in rows] == [WHOLE.text] * 2
    assert [row["decoder/greedy"] for row in rows] == ["habari", ""] and "phonemes" not in rows[0]


def test_phonemes_where_they_are_read(tmp_path):
    write_decoded(tmp_path, "dev", [WHOLE], {"hypothesis": {"u1": "x"}}, phonemic=True)
    assert (tmp_path / "decoded_dev.csv").read_text(encoding="utf-8").splitlines()[0] == (
        "id,duration,speaker,recording,reference,phonemes,hypothesis"
    )
