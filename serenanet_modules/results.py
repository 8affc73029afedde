"""What a run says at its end: result.json and tables for people."""

import json

from serenanet_modules.data.files import replacing


def parameters(model):
    """Trainable parameters by part, and in all."""
    parts = {
        name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children() if part is not None
    }
    return {**parts, "total": sum(parts.values())}


def parameter_table(model):
    """The parameters of each part, for people."""
    counts = parameters(model)
    rows = [f"{name:<12}{count:>14,}" for name, count in counts.items()]
    return "\n".join([f"{'part':<12}{'parameters':>14}", *rows])


def result_table(results):
    """Error rates with their intervals, for people."""
    rows = [f"{'set':<6}{'decoder':<26}{'measure':<9}{'%':>7}   95 % interval"]
    for split, decoders in results.items():
        for decoder, measures in decoders.items():
            for measure, r in measures.items():
                low, high = r["interval_95"]
                rows.append(f"{split:<6}{decoder:<26}{measure:<9}{r['percent']:>7.2f}   {low:.2f} … {high:.2f}")
    return "\n".join(rows)


def write_result(path, result):
    """result.json, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
