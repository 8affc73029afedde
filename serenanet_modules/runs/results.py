"""What a run says at its end: result.json and tables for people."""

from serenanet_modules.lobes.acoustic import AcousticModel

MOST = 40  # percent of the letters or phones, above which hardly a word is right
POOR = "\nIt has hardly begun to learn: give it more epochs, more speech, or a model to start from (docs/starting.md)."


def parameters(model, counted=lambda parameter: True):
    """Parameters by part, those of an acoustic model by its own parts, and in all; perhaps only some of them."""
    parts = {}
    for name, part in model.named_children():
        for key, inner in part.named_children() if isinstance(part, AcousticModel) else [(name, part)]:
            parts[key] = sum(p.numel() for p in inner.parameters() if counted(p))
    return {**{name: count for name, count in parts.items() if count}, "total": sum(parts.values())}


def in_columns(rows, left=1):
    """Rows of cells as lines of text: the first ``left`` columns begin together, the others end together.

    Examples
    --------
    >>> print(*in_columns([("set", "%"), ("dev", "12.5")]), sep="\\n")
    set     %
    dev  12.5
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        first, others = map(str.ljust, row[:left], widths), map(str.rjust, row[left:], widths[left:])
        yield "  ".join([*first, *others]).rstrip()


def parameter_table(model, later=()):
    """The parameters of each part and how many of them are trained, now or ``later``, for people."""
    later = set(map(id, later))
    trained = parameters(model, lambda p: p.requires_grad or id(p) in later)
    rows = [(name, f"{count:,}", f"{trained.get(name, 0):,}") for name, count in parameters(model).items()]
    return "\n".join(in_columns([("part", "parameters", "trained"), *rows]))


def usual_decoder(result, name):
    """The decoder that `serenanet transcribe` uses by itself, of those that a set was read with."""
    own = (f"{result['scoring']}/{way}" for way in ("lexicon-beam", "greedy"))  # phonemes by the training words
    ways = ("llm/beam", "llm/greedy", "attention/beam", *own)
    decoders = result["results"][name]
    return next((way for way in ways if way in decoders), next(iter(decoders)))


def in_words(result):
    """How good a recogniser is on its test sets, or on dev where there are none, and what to do where it is useless.

    Parameters
    ----------
    result : dict
        The content of result.json.

    Examples
    --------
    >>> greedy, searched = ({"WER": {"percent": w}, "CER": {"percent": c}} for w, c in ((47.6, 10.34), (24.6, 7.2)))
    >>> result = {"scoring": "car", "decoding": {"lm_tool": "own"}, "results": {
    ...     "dev": {"car/greedy": searched}, "test": {"car/greedy": greedy, "car/prefix-beam+lm": searched}}}
    >>> in_words(result)
    'On test 47.6 % of the words and 10.3 % of the letters are wrong (greedy); with --lm auto 24.6 % and 7.2 %.'
    >>> in_words({**result, "spaced": False})
    'On test 10.3 % of the letters are wrong (greedy); with --lm auto 7.2 %.'
    >>> print(in_words({"scoring": "car", "results": {"test": {"car/greedy": {"CER": {"percent": 71}}}}}))
    On test 71.0 % of the letters are wrong (greedy).
    It has hardly begun to learn: give it more epochs, more speech, or a model to start from (docs/starting.md).
    """
    names = [name for name in result["results"] if not name.startswith("dev")] or list(result["results"])
    usual = usual_decoder(result, names[0])
    kinds, rates = _rates_of(result, names, usual)
    told = " and ".join(f"{rate} of the {kind}" for kind, rate in zip(kinds, rates, strict=True))
    where = names[0] if len(names) == 1 else f"the {len(names)} sets together"
    way = usual.removeprefix(f"{result['scoring']}/")
    sentence = f"On {where} {told} are wrong ({way})"
    source = usual.split("/")[0]
    if searched := [d for d in result["results"][names[0]] if d.startswith(f"{source}/") and d.endswith("+lm")]:
        others, rates = _rates_of(result, names, searched[0])
        same = zip(others, rates, strict=True)
        told = " and ".join(rates if others == kinds else [f"{rate} of the {kind}" for kind, rate in same])
        model = "--lm auto" if "lm_tool" in result.get("decoding", {}) else "the language model"
        sentence += f"; with {model} {told}"
    found = [result["results"][name][usual] for name in names]
    finest = _together([measures.get("CER", measures.get("PER")) for measures in found])
    return f"{sentence}.{POOR if finest > MOST else ''}"


def _rates_of(result, names, decoder):
    """What is counted, and the share of it that is wrong, of some sets together."""
    kinds = {"WER": "words", "CER": "letters", "PER": "phones"}
    if not result.get("spaced", True):
        del kinds["WER"]
    found = [result["results"][name][decoder] for name in names]
    measures = [measure for measure in kinds if measure in found[0]]
    rates = [f"{_together([rates[measure] for rates in found]):.1f} %" for measure in measures]
    return [kinds[measure] for measure in measures], rates


def _together(rates):
    """The error rate in percent of several sets, of the counts of each."""
    if len(rates) == 1:
        return rates[0]["percent"]
    hits, *errors = (sum(r[key] for r in rates) for key in ("hits", "substitutions", "deletions", "insertions"))
    return 100 * sum(errors) / max(1, hits + errors[0] + errors[1])


def weights_told(about):
    """Which checkpoints' weights a training ended with, and what dev says of them.

    Parameters
    ----------
    about : dict
        As result.json holds it under ``weights``.

    Examples
    --------
    >>> weights_told({"epochs": [7, 8], "measure": "CER", "best": 13.62, "mean": 13.1, "averaged": [7, 8]})
    'mean of epochs 7, 8 (dev CER 13.1; best single 13.6)'
    >>> weights_told({"epochs": [2], "measure": "CER", "best": 44.5, "mean": 66.7, "averaged": [1, 2]})
    'epoch 2 (dev CER 44.5; mean of epochs 1, 2: 66.7)'
    >>> weights_told({"epochs": [2], "measure": "CER", "best": 44.5})
    'epoch 2 (dev CER 44.5)'
    >>> weights_told({"epochs": [], "measure": None, "best": None})
    'the latest, before the first validation'
    """
    if about["best"] is None:
        return "the latest, before the first validation"
    best, listed = f"{about['best']:.1f}", ", ".join(f"{round(epoch, 2):g}" for epoch in about.get("averaged", ()))
    if "mean" in about and about["epochs"] == about["averaged"]:
        return f"mean of epochs {listed} (dev {about['measure']} {about['mean']:.1f}; best single {best})"
    mean = f"; mean of epochs {listed}: {about['mean']:.1f}" if "mean" in about else ""
    return f"epoch {round(about['epochs'][0], 2):g} (dev {about['measure']} {best}{mean})"


def result_table(results):
    """Error rates with their intervals, for people."""
    rows = [("set", "decoder", "measure", "%", "95 % interval")]
    for split, decoders in results.items():
        for decoder, measures in decoders.items():
            for measure, r in measures.items():
                low, high = r["interval_95"]
                rows.append((split, decoder, measure, f"{r['percent']:.2f}", f"{low:.2f} … {high:.2f}"))
    return "\n".join(in_columns(rows, left=3))


def confidence_table(rows):
    """How well confidences say the share of words that are correct, for people: ``mean`` is theirs.

    Parameters
    ----------
    rows : iterable of (str, str, str, dict)
        Set, decoder, what the confidences are (``raw``, ``calibrated``), and `analysis.reliability` of them.
    """
    lines = [("set", "decoder", "confidence", "words", "correct %", "mean %", "ECE", "≥ 90 %", "correct %")]
    for *names, found in rows:
        sure, shares = found["bins"][-1], ("-", "-", "-")
        if found["words"]:
            shares = f"{100 * found['right']:.1f}", f"{100 * found['confidence']:.1f}", f"{found['ece']:.3f}"
        of_sure = (str(sure["words"]), f"{100 * sure['right'] / sure['words']:.1f}") if sure else ("0", "-")
        lines.append((*names, str(found["words"]), *shares, *of_sure))
    return "\n".join(in_columns(lines, left=3))


def confidences_of(result):
    """Rows of `confidence_table`, of a result.json."""
    for decoder, entry in result.items():
        for name, kinds in entry["sets"].items():
            yield from ((name, decoder, kind, found) for kind, found in kinds.items())


def pretraining_table(splits):
    """Measures of masked prediction and its clusters, for people."""
    rows = [("set", "masked acc. %", "most frequent %", "dead", "perplexity", "phone purity", "cluster purity", "PNMI")]
    for split, m in splits.items():
        phones, usage = m.get("phones", {}), m["usage"]
        agreement = [f"{phones[name]:.3f}" if phones else "-" for name in ("phone_purity", "cluster_purity", "pnmi")]
        guess = f"{100 * usage['most_frequent']:.2f}"
        used = str(usage["dead"]), str(usage["perplexity"])
        rows.append((split, f"{m['masked_accuracy']:.2f}", guess, *used, *agreement))
    return "\n".join(in_columns(rows))
