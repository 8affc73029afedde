"""What a report adds to its table where the runs have it: gates, CAR by epoch, pre-trainings, spaces."""

import csv

from serenanet_modules.analysis import gates_plot, pretrainings, sources
from serenanet_modules.analysis.folders import in_order
from serenanet_modules.analysis.spaces import SpaceErrors, space_errors
from serenanet_modules.runtime.amounts import counted
from serenanet_modules.runtime.files import replacing

DPI = 110


def write_all(systems, reference, out):
    """Write the pictures and tables of each section that the results have data for.

    Parameters
    ----------
    systems : list of System
    reference : System
        Whose gates are shown, where it has some.
    out : Path

    Returns
    -------
    list of str
        Markdown, one text for each section.
    """
    own = [system for system in systems if system.same_as is None]
    trained = {tuple(result.folder for result in system.results): system for system in reversed(own)}
    curves = [system for system in own if system in trained.values()]  # others read the same runs by another scoring
    made = (_spaces(own, out), _sources(curves, out), _gates([reference, *own], out), _pretrainings(own, out))
    return [text for text in made if text]


def _spaces(systems, out):
    systems = [s for s in systems if all(r.has_texts(split) for r in s.results for split in r.splits)]
    if not systems:
        return ""
    lines = [line for system in systems for line in _counted(system)]
    last = systems[0].results[0].splits[-1]
    rows = [_told(*line) for line in lines if line[2] == last]
    if not rows:
        return ""
    heading = ("system", "decoder", "set", "seeds", "word_errors", "only_a_space", "words")
    _csv(out / "spaces.csv", heading, ((*about, *found) for *about, found in lines))
    heading = ("system", "decoder", "set", "word errors", "only a space", "share", "WER", "WER without them")
    told = (
        "Word errors that are gone once spaces are put where the reference has them: words that were split or joined "
        "and are right in each letter. Counts are means over seeds. All sets: [spaces.csv](spaces.csv)."
    )
    return "\n\n".join(["## Errors that are only a space", _markdown([heading, *rows], 3), told])


def _counted(system):
    """Yield (system, decoder, set, seeds, `SpaceErrors` of all seeds together)."""
    for kind in system.kinds():
        for split in [s for s in in_order(system.results[0].splits) if system.rates(s, kind, "WER")]:
            decoder, none = system.decoder(kind), SpaceErrors(0, 0, 0)
            found = sum((space_errors(*result.pair(split, decoder)) for result in system.results), none)
            yield system.name, decoder, split, len(system.results), found


def _told(name, decoder, split, seeds, found):
    """A row of the table."""
    means = (f"{count / seeds:,.1f}".removesuffix(".0") for count in found[:2])
    rates = (f"{100 * rate:.1f}" for rate in (found.errors / max(1, found.words), found.rate))
    return name, decoder, split, *means, f"{100 * found.share:.1f} %", *rates


def _sources(systems, out):
    measures = sources.measures(systems)
    if not measures:
        return ""
    _csv(out / "sources.csv", ("system", "seed", "epoch", "source", "measure", "percent"), sources.csv_rows(systems))
    parts = ["## CAR against the decoder", _markdown(sources.table(systems), 2)]
    parts.append(f"Means over seeds, in percent: {sources.NOTE}. All epochs: [sources.csv](sources.csv).")
    for measure in measures:
        name = f"sources_{measure}.png"
        _save(sources.figure(systems, measure), out / name)
        parts.append(f"![dev {measure} of decoder, CAR and average, a line for each seed]({name})")
    return "\n\n".join(parts)


def _gates(systems, out):
    """Of the first system that has some."""
    from serenanet_modules.analysis import gates  # brings torchaudio

    for system in dict.fromkeys(systems):
        try:
            found = gates.measure(system.results)
        except gates.NoPhones as error:
            return f"## Gates by phone class\n\nThey are left out: {error}."
        if found is not None:
            break
    else:
        return ""
    heading = ("system", "class", "frames", "utterances", "milliseconds", "mean", "low_95", "high_95")
    _csv(out / "gates.csv", heading, gates.csv_rows(system.name, found))
    _save(gates_plot.figure(found, system.name), out / "gates_by_class.png")
    seeds = len(system.results)
    told = (
        f"Mean gate weights of {system.name} over {counted(found.utterances, 'utterance')} of dev ({seeds} seed"
        f"{'s, pooled' if seeds > 1 else ''}) with their 95 % intervals, by a bootstrap over utterances. "
        f"{found.sentence()} Phones come from Gaussians over the cepstra of the same utterances, not from the model. "
        "Affricates count as stops. All figures: [gates.csv](gates.csv)."
    )
    picture = f"![mean gate weights of {system.name} by phone class](gates_by_class.png)"
    return "\n\n".join(["## Gates by phone class", _markdown(gates.table(found), 1), told, picture])


def _pretrainings(systems, out):
    found = pretrainings.pairs(systems)
    if not found:
        return ""
    heading = ("system", "seed", "pretraining", *pretrainings.AGREEMENT, "masked_accuracy", "set", "measure", "percent")
    _csv(out / "pretrainings.csv", heading, pretrainings.csv_rows(found))
    told = (
        "Purity and PNMI say how well the clusters of a pre-training agree with phones, on its dev set; "
        "error rates are of greedy decoding, means over seeds. All runs: [pretrainings.csv](pretrainings.csv)."
    )
    parts = ["## Pre-trainings and what came of them", _markdown(pretrainings.table(found), 1), told]
    if len(found) > 1:
        _save(pretrainings.figure(found), out / "pretrainings.png")
        parts.append("![error rates over the phone purity of the pre-training, a mark for each run](pretrainings.png)")
    return "\n\n".join(parts)


def _markdown(rows, left):
    """A table whose first columns stand to the left."""
    rule = ["---"] * left + ["---:"] * (len(rows[0]) - left)
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in [cells[0], rule, *cells[1:]])


def _csv(path, heading, rows):
    with replacing(path) as partial, open(partial, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([heading, *rows])


def _save(figure, path):
    with replacing(path) as partial:
        figure.savefig(partial, dpi=DPI, format="png")
