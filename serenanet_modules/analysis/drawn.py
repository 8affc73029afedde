"""What a resampled test set is drawn of: speakers, recordings or utterances."""

from dataclasses import dataclass

from serenanet_modules.runtime.amounts import counted

FEWEST = 5  # a spread over fewer says little


@dataclass(frozen=True)
class Drawn:
    """Which utterances of a test set are drawn together.

    Utterances of one speaker are easy or hard together, and so are those of one recording. Speakers are drawn where
    there are at least `FEWEST`, else recordings where there are, else utterances.

    Attributes
    ----------
    of : dict of str to str
        Utterance id -> what is drawn with it.
    text : str
        What is drawn, for people.
    """

    of: dict[str, str]
    text: str

    @classmethod
    def among(cls, rows):
        """What to draw of a test set.

        Parameters
        ----------
        rows : dict of str to dict
            Rows of decoded_<set>.csv by utterance id; those of older folders lack ``speaker`` and ``recording``.

        Examples
        --------
        >>> rows = {f"u{i}": {"speaker": f"s{i % 5}", "recording": f"u{i}"} for i in range(20)}
        >>> Drawn.among(rows).text
        '5 speakers, each with all of its utterances (20)'
        >>> Drawn.among({name: {**row, "speaker": "s"} for name, row in rows.items()}).text
        '20 recordings, each of one utterance, of 1 speaker'
        >>> Drawn.among({name: {} for name in rows}).text
        '20 utterances, whose speakers and recordings are not known'
        """
        speakers, recordings = _column(rows, "speaker"), _column(rows, "recording")
        utterances = {name: name for name in rows}
        if _count(speakers) >= FEWEST:
            return cls(speakers, f"{_count(speakers)} speakers, each with all of its utterances ({len(rows)})")
        whose = f", of {_counted(speakers, 'speaker')}" if speakers else ", whose speakers are not known"
        if recordings and _count(recordings) == len(rows):
            return cls(utterances, f"{_counted(recordings, 'recording')}, each of one utterance{whose}")
        if _count(recordings) >= FEWEST:
            whole = f"{_count(recordings)} recordings, each with all of its utterances ({len(rows)})"
            return cls(recordings, f"{whole}{whose}")
        if recordings:
            return cls(utterances, f"{len(rows)} utterances of only {_counted(recordings, 'recording')}{whose}")
        unknown = whose if speakers else ", whose speakers and recordings are not known"
        return cls(utterances, f"{counted(len(rows), 'utterance')}{unknown}")


def _column(rows, name):
    """Utterance id -> a column; {} unless it is known of all."""
    return {key: row[name] for key, row in rows.items()} if all(row.get(name) for row in rows.values()) else {}


def _count(of):
    return len(set(of.values()))


def _counted(of, noun):
    return counted(_count(of), noun)
