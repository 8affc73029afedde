"""Two runs side by side: are they different, and where?"""

from dataclasses import dataclass

from serenanet_modules.analysis.bootstrap import Comparison, compare
from serenanet_modules.analysis.spaces import space_errors
from serenanet_modules.errors import UserError
from serenanet_modules.runs.results import in_columns
from serenanet_modules.runtime.amounts import counted


@dataclass(frozen=True)
class Line:
    """One split, pair of decoders and measure; rates in percent."""

    split: str
    decoders: tuple[str, str]
    measure: str
    rates: tuple[float, float]
    comparison: Comparison

    @property
    def decoder(self):
        """Name of the pair."""
        return pair_name(self.decoders)


def pair_name(pair):
    """One name where both are the same.

    Examples
    --------
    >>> pair_name(("decoder/greedy", "decoder/greedy")), pair_name(("average/greedy", "decoder/greedy"))
    ('decoder/greedy', 'average/greedy ~ decoder/greedy')
    """
    return pair[0] if pair[0] == pair[1] else " ~ ".join(pair)


def pairs(a, b, split):
    """Decoders of a and b that can be compared: of one name, and of one kind with each run's own scoring."""
    ours, theirs = a.decoders(split), b.decoders(split)
    same = [(name, name) for name in ours if name in theirs]
    kinds = [name.split("/", 1)[1] for name in ours if name.startswith(f"{a.scoring}/")]
    own = [(f"{a.scoring}/{kind}", f"{b.scoring}/{kind}") for kind in kinds if f"{b.scoring}/{kind}" in theirs]
    return list(dict.fromkeys([*same, *own]))


def compare_runs(a, b, split=None, decoder=None, measure=None):
    """Paired significance of two runs on all that both were scored on.

    Parameters
    ----------
    a, b : Result
    split, decoder, measure : str, optional
        Only these; ``decoder`` as in `pair_name`.

    Returns
    -------
    list of Line

    Raises
    ------
    UserError
        Where there is nothing in common, or texts of different utterances.
    """
    lines = []
    for s in (s for s in a.splits if s in b.splits and split in (None, s)):
        for pair in (pair for pair in pairs(a, b, s) if decoder in (None, pair_name(pair))):
            ours, theirs = a.measures(s, pair[0]), b.measures(s, pair[1])
            for m in (m for m in ours if m in theirs and measure in (None, m)):
                rates = ours[m]["percent"], theirs[m]["percent"]
                lines.append(Line(s, pair, m, rates, _compare(a, b, s, pair, m)))
    if not lines:
        asked = " ".join(filter(None, (split, decoder, measure)))
        raise UserError(f"{a.folder} and {b.folder} have no score{asked and f' of {asked}'} in common; {_offer(a, b)}")
    return lines


def _offer(a, b):
    found = [f"{s} {pair_name(pair)}" for s in a.splits if s in b.splits for pair in pairs(a, b, s)]
    return f"both have {', '.join(found)}" if found else "they share no split and decoder"


def _compare(a, b, split, pair, measure):
    try:
        return compare(*(r.per_utterance(split, d, measure) for r, d in zip((a, b), pair, strict=True)))
    except ValueError as error:
        raise UserError(f"{a.folder} and {b.folder} cannot be compared on {split}: {error}") from error


def differing(a, b, line, count):
    """Utterances whose errors differ most: those that b hears better first, then those that a does.

    Returns
    -------
    list of (str, int, int)
        Utterance id, errors of a, errors of b.
    """
    ours, theirs = (r.per_utterance(line.split, d, line.measure) for r, d in zip((a, b), line.decoders, strict=True))
    rows = [(name, ours[name].errors, theirs[name].errors) for name in ours]
    rows = [row for row in rows if row[1] != row[2]]
    most = sorted(rows, key=lambda row: (-abs(row[2] - row[1]), row[0]))[:count]
    return sorted(most, key=lambda row: (row[2] - row[1], row[0]))


def comparison_text(a, b, lines, count):
    """Both for people: a table of the lines, and the ``count`` utterances that differ most by one of them.

    That one is the last split's first with what A is scored by.
    """
    rows = [("set", "decoder", "measure", "A %", "B %", "B − A", "95 % interval", "p"), *map(_cells, lines)]
    last = [line for line in lines if line.split == lines[-1].split]
    telling = next((line for line in last if line.decoders[0].startswith(f"{a.scoring}/")), last[0])
    return "\n".join(
        [
            *(f"A  {a.folder}", f"B  {b.folder}", *filter(None, [first_difference(a, b)]), ""),
            *(*in_columns(rows, left=3), *_spaces(a, b, telling), *_utterances(a, b, telling, count)),
        ]
    )


def _spaces(a, b, line):
    """Where words are compared and some errors are only a space, how many are in each."""
    if line.measure != "WER":
        return
    texts_of = zip((a, b), line.decoders, strict=True)
    found = [space_errors(*result.pair(line.split, decoder)) for result, decoder in texts_of]
    if any(one.spaces for one in found):
        yield ""
        yield from (f"{name}  {line.split}, {line.decoder}: {one}" for name, one in zip("AB", found, strict=True))


def first_difference(a, b):
    """The first epoch after which two runs have other weights, in words; "" where their results do not say."""
    ours, theirs = ([epoch.get("weights") for epoch in result.content.get("history", ())] for result in (a, b))
    both = list(zip(ours, theirs, strict=False))
    if not both or None in both[0]:
        return ""
    for epoch, (one, other) in enumerate(both, start=1):
        if one != other:
            return f"weights differ from epoch {epoch} on"
    return f"weights are equal after {'each' if len(ours) == len(theirs) else 'the first'} of {len(both)} epoch(s)"


def _cells(line):
    c = line.comparison
    low, high = (f"{100 * end:+.2f}" for end in (c.low, c.high))
    p = "< 0.001" if c.p_value < 0.001 else f"{c.p_value:.3f}"
    rates = [f"{rate:.2f}" for rate in line.rates]
    return line.split, line.decoder, line.measure, *rates, f"{100 * c.difference:+.2f}", f"{low} … {high}", p


def _utterances(a, b, line, count):
    if not count:
        return
    chosen = differing(a, b, line, count)
    yield ""
    if not chosen:
        yield f"{line.split}, {line.decoder}: every utterance has the same number of {line.measure} errors"
        return
    told = f"the {counted(len(chosen), 'utterance')} whose {line.measure} errors differ most"
    yield f"{line.split}, {line.decoder}: {told}"
    ours, theirs = a.texts(line.split), b.texts(line.split)
    column = "phonemes" if line.measure == "PER" else "reference"
    for name, errors_a, errors_b in chosen:
        yield f"\n{name}"
        yield f"     REF  {ours[name][column]}"
        yield f"{errors_a:>3}  A    {ours[name][line.decoders[0]]}"
        yield f"{errors_b:>3}  B    {theirs[name][line.decoders[1]]}"
