"""Pre-trainings beside the runs that started from them: do purer clusters make fewer errors?"""

import statistics
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from serenanet_modules.analysis.folders import RESULT, in_order
from serenanet_modules.analysis.palette import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION
from serenanet_modules.data.manifest import role
from serenanet_modules.runtime.files import read_json

MARKS = "os^Dv<>Ph*"
AGREEMENT = {"phone_purity": "phone purity", "pnmi": "PNMI"}
MEASURES = ("WER", "CER", "PER")


@dataclass(frozen=True, eq=False)
class Pair:
    """A pre-training and a run that started from its weights.

    Attributes
    ----------
    system, seed : str, int
        Of the run.
    folder : str
        Of the pre-training.
    measures : dict
        ``masked_accuracy`` and ``phones`` of its first dev set, as of `analysis.clusters.agreement`.
    rates : dict
        Measure -> percent of the run's last set by greedy decoding.
    split : str
    """

    system: str
    seed: int
    folder: str
    measures: dict
    rates: dict
    split: str


def pairs(systems):
    """Every run whose pre-training is still there and was compared with phones: a list of `Pair`."""
    found, read = [], {}
    for system in (s for s in systems if s.same_as is None):
        for result in system.results:
            folder = (result.content.get("pretrained") or {}).get("folder")
            if folder is None:
                continue
            measures = read.setdefault(folder, _measures(folder))
            split = result.splits[-1]
            rates = result.measures(split, system.decoder("greedy"))
            rates = {m: rates[m]["percent"] for m in MEASURES if m in rates}
            if measures and rates:
                found.append(Pair(system.name, result.seed, str(folder), measures, rates, split))
    return found


def _measures(folder):
    """Of a pre-training's first dev set, where it has been compared with phones; else None."""
    try:
        sets = read_json(Path(folder) / RESULT)["pretraining"]
        chosen = sets[next(name for name in in_order(sets) if role(name) == "dev")]
        return chosen if all(isinstance(chosen["phones"][key], float | int) for key in AGREEMENT) else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, StopIteration, RecursionError):
        return None


def table(found):
    """Rows of cells under a heading, one for each pre-training and system: means over the seeds."""
    if not found:
        return []
    measures, split = [m for m in MEASURES if any(m in pair.rates for pair in found)], found[0].split
    heading = ("pre-training", "masked acc. %", *AGREEMENT.values(), "system", "seeds")
    rows = [(*heading, *(f"{split} {measure}" for measure in measures))]
    for key in dict.fromkeys((pair.folder, pair.system) for pair in found):
        group = [pair for pair in found if (pair.folder, pair.system) == key]
        of = group[0].measures
        cells = (f"{of['masked_accuracy']:.1f}", *(f"{of['phones'][name]:.3f}" for name in AGREEMENT))
        rates = ([pair.rates[m] for pair in group if m in pair.rates] for m in measures)
        means = (f"{statistics.fmean(rate):.1f}" if rate else "–" for rate in rates)
        rows.append((key[0], *cells, key[1], str(len(group)), *means))
    return rows


def figure(found):
    """Error rate of each run over the phone purity of its pre-training: a panel a measure, a mark a run."""
    measures = [m for m in MEASURES if any(m in pair.rates for pair in found)]
    systems = list(dict.fromkeys(pair.system for pair in found))
    drawn = Figure(figsize=(1.8 + 3.4 * len(measures), 3.6), layout="constrained")
    for panel, measure in zip(drawn.subplots(1, len(measures), squeeze=False)[0], measures, strict=True):
        for number, system in enumerate(systems):
            own = [pair for pair in found if pair.system == system and measure in pair.rates]
            places = [pair.measures["phones"]["phone_purity"] for pair in own]
            colour = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY)[number % 6]
            style = {"color": colour, "marker": MARKS[number % len(MARKS)], "alpha": 0.8}
            panel.scatter(places, [pair.rates[measure] for pair in own], label=f"{system} (n = {len(own)})", **style)
        panel.set_xlabel("phone purity of the pre-training's clusters (dev)")
        panel.set_ylabel(f"{found[0].split} {measure}, %")
        panel.grid(linewidth=0.4, alpha=0.6)
        panel.spines[["top", "right"]].set_visible(False)
    handles, names = panel.get_legend_handles_labels()
    drawn.legend(handles, names, loc="outside right upper", frameon=False, fontsize="small")
    return drawn


def csv_rows(found):
    """(system, seed, pre-training, phone purity, PNMI, masked accuracy, set, measure, percent)."""
    for pair in found:
        phones = (pair.measures["phones"][name] for name in AGREEMENT)
        about = (pair.system, pair.seed, pair.folder, *phones, pair.measures["masked_accuracy"], pair.split)
        yield from ((*about, measure, percent) for measure, percent in pair.rates.items())
