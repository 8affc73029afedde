"""What a resampled test set is drawn of."""

import pytest

from serenanet_modules.analysis.drawn import Drawn


def rows(count, speakers=None, recordings=None):
    found = {f"u{i}": {} for i in range(count)}
    for i, row in enumerate(found.values()):
        row |= {} if speakers is None else {"speaker": f"s{i % speakers}"}
        row |= {} if recordings is None else {"recording": f"r{i % recordings}"}
    return found


@pytest.mark.parametrize(
    ("known", "count", "text"),
    [
        (rows(12, 6, 12), 6, "6 speakers, each with all of its utterances (12)"),
        (rows(12, 4, 12), 12, "12 recordings, each of one utterance, of 4 speakers"),
        (rows(12, 4, 6), 6, "6 recordings, each with all of its utterances (12), of 4 speakers"),
        (rows(12, 1, 4), 12, "12 utterances of only 4 recordings, of 1 speaker"),
        (rows(12, None, 6), 6, "6 recordings, each with all of its utterances (12), whose speakers are not known"),
        (rows(12, 3), 12, "12 utterances, of 3 speakers"),
        (rows(1), 1, "1 utterance, whose speakers and recordings are not known"),
        (rows(1, 1, 1), 1, "1 recording, each of one utterance, of 1 speaker"),
        (rows(12), 12, "12 utterances, whose speakers and recordings are not known"),
    ],
)
def test_the_largest_of_which_there_are_enough(known, count, text):
    drawn = Drawn.among(known)
    assert (len(set(drawn.of.values())), drawn.text) == (count, text) and drawn.of.keys() == known.keys()


def test_a_speaker_that_is_not_known_of_all_is_not_known():
    known = rows(12, 6, 12)
    known["u3"]["speaker"] = ""
    assert Drawn.among(known).text == "12 recordings, each of one utterance, whose speakers are not known"
