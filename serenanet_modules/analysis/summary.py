"""Several seeds of several systems brought into one table's rows."""

import itertools
import statistics
from dataclasses import dataclass, field

from serenanet_modules.analysis.bootstrap import resample
from serenanet_modules.analysis.drawn import Drawn
from serenanet_modules.analysis.folders import Result, in_order
from serenanet_modules.analysis.hierarchy import Contrast, Family, Variant, compare_variants
from serenanet_modules.errors import UserError

MEASURES = ("WER", "CER", "PER")
UNITS = {"WER": "words", "CER": "characters", "PER": "phones"}  # that errors are counted of
WRITERS = ("attention", "llm")  # what decoders are called that read no scoring


@dataclass(frozen=True, eq=False)
class System:
    """Runs of one model with different seeds.

    Attributes
    ----------
    name : str
    results : list of Result
    scoring : str
        decoder, car or average; usually that of the results themselves.
    same_as : str or None
        The system that this one is another name of.
    """

    name: str
    results: list[Result]
    scoring: str
    same_as: str | None = None

    def decoder(self, kind):
        """Name of its decoder of a kind: ``greedy`` -> ``average/greedy``; those of `WRITERS` keep their names."""
        return kind if "/" in kind else f"{self.scoring}/{kind}"

    def kinds(self):
        """Kinds of decoders that all its results have, in the order of evaluation."""
        names = [[d for split in r.splits for d in r.decoders(split)] for r in self.results]
        mine = [name for name in dict.fromkeys(names[0]) if name.split("/")[0] in (self.scoring, *WRITERS)]
        return [name.removeprefix(f"{self.scoring}/") for name in mine if all(name in other for other in names)]

    def rates(self, split, kind, measure):
        """Percent for each seed; [] where a run lacks it."""
        found = [r.measures(split, self.decoder(kind)).get(measure) for r in self.results]
        return [] if None in found else [f["percent"] for f in found]

    def counted(self, split, kind, measure):
        """Of how many words, characters or phones the first seed's rate is."""
        return sum(errors.length for errors in self.per_utterance(split, kind, measure)[0].values())

    def per_utterance(self, split, kind, measure):
        """For each seed, utterance id -> ErrorCounts."""
        return [r.per_utterance(split, self.decoder(kind), measure) for r in self.results]

    def variant(self, places):
        """Its trainings, with where each stands among systems that were resampled together."""
        seeds = [result.seed for result in self.results]
        return Variant(dict(zip(seeds, places, strict=True)), {r.seed: r.folder for r in self.results})


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation over ``count`` runs; sd is None for one."""

    mean: float
    sd: float | None
    count: int

    @classmethod
    def of(cls, values):
        """None for no values.

        Examples
        --------
        >>> Spread.of([1.0, 3.0])
        Spread(mean=2.0, sd=1.4142135623730951, count=2)
        >>> Spread.of([1.0]).sd is None, Spread.of([]) is None
        (True, True)
        """
        values = [value for value in values if value is not None]
        if not values:
            return None
        return cls(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))


@dataclass(frozen=True, eq=False)
class Row:
    """A system with one kind of decoder.

    Attributes
    ----------
    system : System
    kind : str
        ``greedy``, ``prefix-beam``, …
    rates : dict
        (split, measure) -> Spread of percentages.
    intervals : dict
        (split, measure) -> (low, high) in percent, 95 %, of the mean of these seeds on other test sets.
    differences : dict
        (split, measure) -> Contrast with the reference system, as rates.
    families : dict
        (split, measure) -> Family of all that were compared so.
    drawn : dict
        split -> what resampled test sets were drawn of, in words.
    """

    system: System
    kind: str
    rates: dict[tuple[str, str], Spread]
    intervals: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict)
    differences: dict[tuple[str, str], Contrast] = field(default_factory=dict)
    families: dict[tuple[str, str], Family] = field(default_factory=dict)
    drawn: dict[str, str] = field(default_factory=dict)

    @property
    def parameters(self):
        """In all; those of the first seed."""
        return self.system.results[0].content["parameters"]["total"]

    @property
    def training(self):
        """Spread of seconds."""
        return Spread.of([r.content["seconds"]["training"] for r in self.system.results])

    @property
    def training_cpu(self):
        """Spread of the processor's seconds of runs that trained on it alone, or None."""
        contents = [r.content for r in self.system.results if r.content.get("device") == "cpu"]
        return Spread.of([content["seconds"].get("training_cpu") for content in contents])

    @property
    def real_time_factor(self):
        """Spread of seconds per second, or None."""
        return Spread.of([r.real_time_factor for r in self.system.results])


def kinds(systems):
    """Kinds of decoders of any system, in the order of evaluation."""
    return list(dict.fromkeys(kind for system in systems for kind in system.kinds()))


def summarise(systems, reference, progress=iter):
    """Rows of every system and kind of decoder.

    Parameters
    ----------
    systems : list of System
    reference : System
        What the others are compared with, where they were scored on the same utterances.
    progress : callable, optional
        Wraps the list that is worked through.

    Returns
    -------
    dict of str to list of Row
        By kind of decoder.
    """
    table = {kind: [_row(system, kind) for system in systems if kind in system.kinds()] for kind in kinds(systems)}
    work = [(rows, key) for rows in table.values() for key in dict.fromkeys(key for row in rows for key in row.rates)]
    for rows, key in progress(work):
        _resample([row for row in rows if key in row.rates], reference, key)
    return table


def _row(system, kind):
    sets = in_order(name for result in system.results for name in result.splits)
    spreads = {(s, m): Spread.of(system.rates(s, kind, m)) for s in sets for m in MEASURES}
    return Row(system, kind, {key: spread for key, spread in spreads.items() if spread})


def _resample(rows, reference, key):
    """Fill in intervals, and comparisons with the reference, for one split and measure."""
    split, measure = key
    counts = {row: row.system.per_utterance(split, row.kind, measure) for row in rows}
    alike = {}  # utterances and their lengths -> rows scored on them
    for row, seeds in counts.items():
        scored_on = {tuple((name, c.length) for name, c in sorted(seed.items())) for seed in seeds}
        if len(scored_on) > 1:
            raise UserError(f"the seeds of {row.system.name} cannot be pooled: their {split} sets differ")
        alike.setdefault(scored_on.pop(), []).append(row)
    for mates in alike.values():
        _fill_in(mates, counts, reference, key)


def _fill_in(rows, counts, reference, key):
    """The same for rows that were scored on the same utterances."""
    drawn = Drawn.among(_whose(rows, key[0]))
    columns = itertools.count()
    places = {row: [next(columns) for _ in counts[row]] for row in rows}
    rates = resample([seed for row in rows for seed in counts[row]], of=drawn.of)
    for row in rows:
        row.intervals[key] = tuple(100 * end for end in rates.interval(places[row]))
        row.drawn[key[0]] = drawn.text
    compared = [row for row in rows if row.system.same_as is None]
    base = next((i for i, row in enumerate(compared) if row.system is reference), None)
    if base is None:
        return
    variants = [row.system.variant(places[row]) for row in compared]
    family = compare_variants(variants, base, rates, len(set(drawn.of.values())))
    for row, contrast in zip(compared, family.contrasts, strict=True):
        row.families[key] = family
        if contrast is not None:
            row.differences[key] = contrast


def _whose(rows, split):
    """Rows of the first table of a split that says speakers and recordings, or of the first one."""
    tables = [result.texts(split) for row in rows for result in row.system.results]
    return next((table for table in tables if all("speaker" in texts for texts in table.values())), tables[0])
