"""What a run says at its end: result.json and tables for people."""

import json

from serenanet_modules.lobes.acoustic import AcousticModel
from serenanet_modules.runtime.files import replacing


def parameters(model):
    """Trainable parameters by part, those of an acoustic model by its own parts, and in all."""
    parts = {}
    for name, part in model.named_children():
        for key, inner in part.named_children() if isinstance(part, AcousticModel) else [(name, part)]:
            parts[key] = sum(p.numel() for p in inner.parameters())
    return {**{name: count for name, count in parts.items() if count}, "total": sum(parts.values())}


def parameter_table(model):
    """The parameters of each part, for people."""
    counts = parameters(model)
    rows = [f"{name:<12}{count:>14,}" for name, count in counts.items()]
    return "\n".join([f"{'part':<12}{'parameters':>14}", *rows])


def result_table(results):
    """Error rates with their intervals, for people."""
    first = _first_column(results)
    rows = [f"{'set':<{first}}{'decoder':<26}{'measure':<9}{'%':>7}   95 % interval"]
    for split, decoders in results.items():
        for decoder, measures in decoders.items():
            for measure, r in measures.items():
                low, high = r["interval_95"]
                rows.append(f"{split:<{first}}{decoder:<26}{measure:<9}{r['percent']:>7.2f}   {low:.2f} … {high:.2f}")
    return "\n".join(rows)


def pretraining_table(splits):
    """Measures of masked prediction and its clusters, for people."""
    heading = (
        "set",
        "masked acc. %",
        "always the same %",
        "dead",
        "perplexity",
        "phone purity",
        "cluster purity",
        "PNMI",
    )
    rows = []
    for split, m in splits.items():
        phones = m.get("phones", {})
        agreement = [f"{phones[name]:.3f}" if phones else "-" for name in ("phone_purity", "cluster_purity", "pnmi")]
        guess = f"{100 * m['usage']['most_frequent']:.2f}"
        rows.append(
            (split, f"{m['masked_accuracy']:.2f}", guess, m["usage"]["dead"], m["usage"]["perplexity"], *agreement)
        )
    first, *widths = _first_column(splits), *(len(name) + 2 for name in heading[1:])
    return "\n".join(
        f"{name:<{first}}" + "".join(f"{value!s:>{width}}" for value, width in zip(rest, widths, strict=True))
        for name, *rest in [heading, *rows]
    )


def _first_column(names):
    """Width of a column of sets' names."""
    return max([6, *(len(name) + 2 for name in names)])


def write_result(path, result):
    """result.json, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
