"""What a training says of itself at its end."""

import pytest

from serenanet_modules.runs.results import in_words

GREEDY = {"WER": {"percent": 47.6}, "CER": {"percent": 10.34}}
WITH_LM = {"WER": {"percent": 24.61}, "CER": {"percent": 7.2}}
PHONES = {"PER": {"percent": 20.0}}
AUTO = {"lm_tool": "own"}


@pytest.mark.parametrize(
    ("decoders", "more", "sentence"),
    [
        (
            {"decoder/greedy": WITH_LM, "car/greedy": GREEDY, "car/prefix-beam": GREEDY, "car/prefix-beam+lm": WITH_LM},
            {"decoding": AUTO},
            "47.6 % of the words and 10.3 % of the letters are wrong (greedy); with --lm auto 24.6 % and 7.2 %.",
        ),
        (
            {"car/greedy": GREEDY, "car/prefix-beam+lm": WITH_LM},
            {"decoding": AUTO, "spaced": False},
            "10.3 % of the letters are wrong (greedy); with --lm auto 7.2 %.",
        ),
        (
            {"car/greedy": PHONES, "car/lexicon-beam": GREEDY, "car/lexicon-beam+lm": WITH_LM},
            {"decoding": AUTO},
            "47.6 % of the words and 10.3 % of the letters are wrong (lexicon-beam); with --lm auto 24.6 % and 7.2 %.",
        ),
        (
            {"car/greedy": PHONES, "car/prefix-beam+lm": WITH_LM},
            {"decoding": AUTO},
            "20.0 % of the phones are wrong (greedy); with --lm auto 24.6 % of the words and 7.2 % of the letters.",
        ),
        (
            {"car/greedy": GREEDY, "car/prefix-beam+lm": WITH_LM},
            {"decoding": {}},
            "47.6 % of the words and 10.3 % of the letters are wrong (greedy); with the language model "
            "24.6 % and 7.2 %.",
        ),
        (
            {
                "car/greedy": WITH_LM,
                "car/prefix-beam+lm": WITH_LM,
                "attention/greedy": WITH_LM,
                "attention/beam": GREEDY,
            },
            {"decoding": AUTO},
            "47.6 % of the words and 10.3 % of the letters are wrong (attention/beam).",
        ),
        (
            {"attention/greedy": GREEDY},
            {"decoding": {}},
            "47.6 % of the words and 10.3 % of the letters are wrong (attention/greedy).",
        ),
        (
            {"car/greedy": {**GREEDY, "WER normalised": {"percent": 40.0}, "CER normalised": {"percent": 9.0}}},
            {"decoding": {}},
            "47.6 % of the words and 10.3 % of the letters are wrong (greedy).",
        ),
    ],
)
def test_one_sentence(decoders, more, sentence):
    """Of what `transcribe` uses by itself, and with the model of ``--lm auto`` where that goes with it."""
    result = {"scoring": "car", "results": {"dev": decoders, "test": decoders}, **more}
    assert in_words(result) == f"On test {sentence}"
    assert in_words({**result, "results": {"dev": decoders}}) == f"On dev {sentence}"


def test_several_sets_are_counted_together():
    """Each word counts once, whatever set it is in."""
    few = {"percent": 50.0, "hits": 1, "substitutions": 1, "deletions": 0, "insertions": 0}
    many = {"percent": 10.0, "hits": 90, "substitutions": 4, "deletions": 4, "insertions": 2}
    sets = {"dev": few, "test-a": few, "test-b": many}
    result = {"scoring": "car", "results": {name: {"car/greedy": {"CER": found}} for name, found in sets.items()}}
    assert in_words(result) == "On the 2 sets together 11.0 % of the letters are wrong (greedy)."
