"""A recogniser's model card: README.md in its result folder, plain data in front as the Hugging Face hub reads it."""

import hashlib
import io
import json
from pathlib import Path

import ruamel.yaml

from serenanet_modules.runs.results import in_words, result_table, usual_decoder, weights_told
from serenanet_modules.runtime.amounts import duration
from serenanet_modules.runtime.files import write_text

CARD = "README.md"
SEAL = "<!-- made from result.json; what you write here stays: {} -->"

BODY = """\
# {experiment}

A speech recogniser for `{locales}`, trained with [SpeechBrain](https://speechbrain.github.io) and SerenaNet.

| | |
|---|---|
| training data | {dataset}, {speech} |
| units | {units[size]} of kind {units[kind]} |
| parameters | {parameters:,} |
| epochs | {epochs}, {seconds:,.0f} s on {device} |{weights}
| code | commit {commit}, seed {seed} |{public}{start}

## Error rates

{summary}

```
{table}
```

## Use

```bash
serenanet transcribe {place} recording.mp3
```

```python
from serenanet_modules import Recognizer

print(Recognizer.from_folder("{place}").transcribe("recording.mp3").text)
```

The folder needs `hyperparams.yaml`, `weights.safetensors` and `save/units/`; `save/lm.arpa` (for `--lm auto`),
`save/lexicon.tsv`, `save/words.txt` and `result.json` where they are there. Opened so, it runs no code of its own;
SpeechBrain's `EncoderASR.from_hparams` opens it too, but runs whatever `hyperparams.yaml` says.

## Licence

{licence}
"""
PLACE, UNKNOWN = "FOLDER", "unknown"
NO_LICENCE = (
    "Not stated yet: put it here and in `license` above. It depends on those of the training data and of what the "
    "model is made from."
)


def write_card(folder):
    """Write a folder's README.md from its result.json; one that somebody has changed is left as it is.

    Parameters
    ----------
    folder : Path
        Of a finished recogniser.
    """
    file = Path(folder) / CARD
    if not is_ours(folder):
        return
    text = card(json.loads((Path(folder) / "result.json").read_text(encoding="utf-8")))
    write_text(file, f"{text}\n{_seal(text)}\n")


def is_ours(folder):
    """Whether nobody has changed a folder's card, or there is none."""
    file = Path(folder) / CARD
    return not file.is_file() or _is_ours(file.read_text(encoding="utf-8", errors="replace"))


def card(result, place=PLACE, licence=UNKNOWN):
    """The text of a card.

    Parameters
    ----------
    result : dict
        The content of result.json.
    place : str
        Where the model is to be found: a folder, or a name on the hub.
    licence : str
        As the hub calls it, such as ``cc-by-4.0``.
    """
    header = io.StringIO()
    yaml = ruamel.yaml.YAML(typ="safe")
    yaml.default_flow_style, yaml.allow_unicode, yaml.sort_base_mapping_type_on_output = False, True, False
    yaml.dump(front(result) | {"license": licence}, header)
    plain = {name: _plain(value) if isinstance(value, str) else value for name, value in result.items()}
    body = BODY.format(
        **{
            **plain,
            "locales": ", ".join(map(_plain, result["data"]["locales"])),
            "speech": duration(3600 * result["data"]["splits"]["train"]["hours"]),
            "parameters": result["parameters"]["total"],
            "seconds": result["seconds"]["training"],
            "summary": in_words(result),
            "table": result_table(result["results"]),
            "weights": f"\n| weights | {weights_told(result['weights'])} |" if "weights" in result else "",
            "public": "".join(map(_public, result.get("public", []))),
            "start": _start(result.get("pretrained")),
            "place": place,
            "licence": NO_LICENCE if licence == UNKNOWN else f"`{licence}`",
        }
    )
    return f"---\n{header.getvalue()}---\n{body}"


def front(result):
    """The card's data: language, licence, task, and the error rates of what `serenanet transcribe` uses by itself."""
    languages = sorted({locale.replace("_", "-").split("-")[0].lower() for locale in result["data"]["locales"]})
    sets = [name for name in result["results"] if not name.startswith("dev")]
    bases = _bases(result)
    return {
        "language": languages,
        "license": UNKNOWN,
        **({"base_model": bases} if bases else {}),
        "library_name": "speechbrain",
        "pipeline_tag": "automatic-speech-recognition",
        "tags": ["speechbrain", "serenanet", "speech-recognition"],
        "metrics": sorted({measure for name in sets for measure in _rates(result, name)}),
        "model-index": [{"name": _line(result["experiment"]), "results": [_entry(result, name) for name in sets]}],
    }


def _bases(result):
    """Names on the hub of what the model is made from."""
    started = result.get("pretrained") or {}
    names = [started["folder"]] if "revision" in started else []
    return sorted({*names, *(part["source"] for part in result.get("public", []) if "revision" in part)})


def _entry(result, name):
    return {
        "task": {"type": "automatic-speech-recognition"},
        "dataset": {"name": _line(result["dataset"]), "type": _line(result["dataset"]), "split": name},
        "metrics": [{"type": measure, "value": rate} for measure, rate in _rates(result, name).items()],
    }


def _rates(result, name):
    usual = result["results"][name][usual_decoder(result, name)]
    return {measure.lower(): found["percent"] for measure, found in usual.items()}


def _public(part):
    """A row on a public part."""
    told = [part["source"], *([f"revision {part['revision']}"] if "revision" in part else [])]
    return f"\n| {part['part']} | " + ", ".join(map(_plain, [*told, f"SHA-256 {part['sha256']}"])) + " |"


def _start(about):
    """Rows on what the model started from, and of each part what it took; "" where that is nothing."""
    if not about:
        return ""
    told = [f"commit {about['commit']}"] if "commit" in about else []
    told += [f"revision {about['revision']}"] if "revision" in about else []
    told += [f"{duration(3600 * about['hours'])} of {', '.join(about['locales'])}"] if "hours" in about else []
    told += ["{size} units of kind {kind}".format(**about["units"])] if "units" in about else []
    told += ["{kept} of {of} symbols kept".format(**about["symbols"])] if "symbols" in about else []
    told += ["its clusters only"] if about.get("gave") == "targets" else []
    name = about["folder"] if "revision" in about else about.get("experiment", Path(about["folder"]).name)
    rows = [("started from", ", ".join(map(_plain, [name, *map(str, told)])))]
    rows += [(f"parameters of {_plain(part)}", _taken(counts)) for part, counts in about.get("parts", {}).items()]
    return "".join(f"\n| {label} | {words} |" for label, words in rows)


def _taken(counts):
    return ", ".join(f"{n:,} {_plain(how.replace('_', ' '))}" for how, n in counts.items() if n)


def _plain(text):
    """A name as Markdown text, whatever it is made of."""
    return _line(text.translate(dict.fromkeys(map(ord, "`|<>[]"), " ")))


def _line(text):
    return " ".join(text.split())


def _seal(text):
    return SEAL.format(hashlib.sha256(text.encode()).hexdigest()[:16])


def _is_ours(text):
    body, _, last = text.rstrip("\n").rpartition("\n")
    return last == _seal(body)
