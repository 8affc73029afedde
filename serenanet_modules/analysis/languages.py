"""Error rates of a run on many languages: a line each, means by region, a table to sort and a plot.

A recipe's ``languages.tsv`` names the languages: code, name, region and measure, which is CER where words have no
spaces between them. The sets of a run are named after the codes: ``test-sw_ke``, ``dev-sw_ke``; ``serenanet evaluate``
calls the latter ``test-dev-sw_ke``.
"""

import csv
import statistics
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from serenanet_modules.analysis.language_plot import plot
from serenanet_modules.config.foreign import FILE
from serenanet_modules.config.reading import read_yaml
from serenanet_modules.errors import UserError
from serenanet_modules.runs.results import in_columns
from serenanet_modules.runtime.files import read_json, replacing, write_text

MEASURES = ("WER", "CER")
NOTHING = "–"
ALL = "all"
SORTS = {  # what a line is sorted by
    "region": lambda line: (line.region, line.name),
    "name": lambda line: line.name,
    "code": lambda line: line.code,
    "score": lambda line: (line.score is None, line.score),
    **{m: lambda line, m=m: (m not in line.rates, line.rates.get(m)) for m in MEASURES},
}
NOTES = """\
In percent, with 95 % intervals of the bootstrap over utterances. The score of a language is its WER, or its CER where
words have no spaces between them ({unspaced}). A region's figures are means over its languages, each counting once;
the WER of languages without spaces is in no mean. All figures: [languages.csv](languages.csv)."""


@dataclass(frozen=True)
class Line:
    """A language and what was measured of it.

    Attributes
    ----------
    code, name, region : str
    measure : str
        WER or CER: what its score is.
    rates : dict of str to float
        Percent, by measure; {} where nothing was measured.
    interval : tuple of float
        Of the score, 95 %; () where nothing was measured.
    """

    code: str
    name: str
    region: str
    measure: str
    rates: dict[str, float]
    interval: tuple[float, ...] = ()

    @property
    def score(self):
        """The rate by the language's measure, or None."""
        return self.rates.get(self.measure)


def told(scores, languages, role="test", asked=None):
    """What to print of error rates by language.

    Parameters
    ----------
    scores : dict of str to dict
        Of each set, by measure, what `bootstrap.with_interval` says.
    languages, role, asked
        As of `write`.

    Returns
    -------
    str or None
        None where no set is of one of the languages.
    """
    lines = sorted(_lines(languages, scores, role), key=SORTS["region"])
    measured, missing = _split(lines, asked or ALL)
    return "\n".join(_told(measured, missing)) if measured else None


def write(folder, languages, out, decoder=None, sort="region", role="test", asked=None):
    """Write languages.md, languages.csv and languages.png of a run, or of what ``serenanet evaluate --out`` wrote.

    Parameters
    ----------
    folder : str or Path
        Holds result.json or scores.json.
    languages : Path
        The recipe's languages.tsv.
    out : str or Path
    decoder : str, optional
        By default greedy decoding of what the run is scored by.
    sort : str
        One of `SORTS`.
    role : str
        test or dev.
    asked : str, optional
        The recipe's option ``language``, which is to be measured: ``all``, or codes with commas between; by default
        that of the folder.

    Returns
    -------
    str or None
        What to print; None where no set is of one of the languages.

    Raises
    ------
    UserError
        Where there is no result, or no such decoder.
    """
    scores, decoder = _scores(Path(folder), decoder)
    lines = sorted(_lines(languages, scores, role), key=SORTS[sort])
    measured, missing = _split(lines, asked or _asked(Path(folder)))
    if not measured:
        return None
    out = Path(out)
    with replacing(out / "languages.png") as path:
        plot(measured).savefig(path, dpi=110, format="png")
    with replacing(out / "languages.csv") as path, open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(_csv(lines))
    write_text(out / "languages.md", _page(measured, missing, decoder, role))
    return "\n".join([*_told(measured, missing), f"by language: {out / 'languages.md'}"])


def _split(lines, asked):
    """Lines of what was measured, and of what was asked for and was not."""
    wanted = _codes(asked)
    missing = [line for line in lines if not line.rates and (wanted is None or line.code in wanted)]
    return [line for line in lines if line.rates], missing


def _told(measured, missing):
    yield from (*in_columns(_regions(measured), left=1), "", *in_columns(_table(measured), left=4))
    if missing:
        yield f"not measured: {', '.join(line.code for line in missing)}"


def _scores(folder, decoder):
    """Set -> measure -> rate, and the decoder's name."""
    for name in ("result.json", "scores.json"):
        if (folder / name).is_file():
            content = read_json(folder / name)
            break
    else:
        raise UserError(f"{folder}: has no result.json or scores.json; give a result folder, or one of evaluate --out")
    if name == "scores.json":
        names = dict.fromkeys(found["decoder"] for found in content["confidence"].values())
        return content["results"], ", ".join(names)
    there = list(dict.fromkeys(d for decoders in content["results"].values() for d in decoders))
    decoder = decoder or f"{content['scoring']}/greedy"
    if decoder not in there:
        raise UserError(f"{folder}: has no decoder {decoder!r}; there are {', '.join(there)}")
    return {s: decoders[decoder] for s, decoders in content["results"].items() if decoder in decoders}, decoder


def _asked(folder):
    """The option ``language`` of a training."""
    file = folder / FILE
    return str(read_yaml(file).get("language", ALL)) if file.is_file() else ALL


def _codes(asked):
    """Codes that an option names, None for all."""
    return None if asked == ALL else {code.strip(" []'\"") for code in asked.split(",")}


def _lines(languages, scores, role):
    with open(languages, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            found = scores.get(f"{role}-{row['code']}") or scores.get(f"test-{role}-{row['code']}", {})
            rates = {m: found[m]["percent"] for m in MEASURES if m in found}
            interval = tuple(found[row["measure"]]["interval_95"]) if row["measure"] in found else ()
            yield Line(**row, rates=rates, interval=interval)


def _page(lines, missing, decoder, role):
    unspaced = ", ".join(line.name for line in lines if line.measure == "CER") or "none here"
    parts = [f"# Error rates by language\n\n{role}, {decoder}, {len(lines)} language(s)"]
    parts += [_markdown(_regions(lines), 1), _markdown(_table(lines), 4), NOTES.format(unspaced=unspaced)]
    parts += [f"Not measured: {', '.join(f'{line.name} ({line.code})' for line in missing)}."] if missing else []
    return "\n\n".join([*parts, "![Scores by language](languages.png)"]) + "\n"


def _markdown(rows, left):
    head, *others = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([head, "|" + "---|" * left + "---:|" * (len(rows[0]) - left), *others])


def _regions(lines):
    """Means by region, and of all languages."""
    rows = [("region", "languages", "score", *MEASURES)]
    for region in [*Counter(line.region for line in lines), None]:
        inside = [line for line in lines if region in (line.region, None)]
        means = [_mean(line.score for line in inside)]
        means += [_mean(line.rates.get(m) for line in inside if line.measure == m or m == "CER") for m in MEASURES]
        rows.append((region or "all", str(len(inside)), *means))
    return rows


def _mean(values):
    values = [value for value in values if value is not None]
    return f"{statistics.fmean(values):.2f}" if values else NOTHING


def _table(lines):
    rows = [("language", "code", "region", "measure", "score", "95 % interval", *MEASURES)]
    for line in lines:
        interval = "{:.2f} … {:.2f}".format(*line.interval) if line.interval else NOTHING
        rates = [_mean([line.rates.get(m)]) for m in MEASURES]
        rows.append((line.name, line.code, line.region, line.measure, _mean([line.score]), interval, *rates))
    return rows


def _csv(lines):
    yield ("code", "name", "region", "measure", "score", "low_95", "high_95", *MEASURES)
    for line in lines:
        low, high = line.interval or (None, None)
        yield (line.code, line.name, line.region, line.measure, line.score, low, high, *map(line.rates.get, MEASURES))
