"""Result folders with known errors, as runs would leave them."""

import csv
import json

import numpy as np

from serenanet_modules.analysis.scoring import score

LEVELS = {"WER": "word", "CER": "char", "PER": "phone"}
WORDS = [f"neno{i}" for i in range(10)]


def hypothesis(errors):
    """Ten words of which so many are wrong."""
    return " ".join(["x"] * errors + WORDS[errors:])


def make_result(folder, experiment, seed, errors, *, scoring="decoder", dataset="CommonVoice/xx", speakers=1, **more):
    """Write a result folder.

    Parameters
    ----------
    folder : Path
    experiment : str
    seed : int
    errors : dict
        split -> decoder -> wrong words of each utterance, ten words long.
    speakers : int
        Who takes turns; 0 writes neither speakers nor recordings, as folders have that are older than these columns.
    more
        Of result.json; None leaves a key out.
    """
    folder.mkdir(parents=True)
    results = {}
    for split, decoders in errors.items():
        texts = {decoder: [hypothesis(n) for n in counts] for decoder, counts in decoders.items()}
        phones = [decoder for decoder in texts if "phones" in more and decoder.endswith("/greedy")]
        results[split] = {
            decoder: {m: measured(heard, m) for m in (["PER"] if decoder in phones else ["WER", "CER"])}
            for decoder, heard in texts.items()
        }
        write_texts(folder / f"decoded_{split}.csv", texts, "phones" in more, speakers)
    more.pop("phones", None)
    content = {
        "dataset": dataset,
        "experiment": experiment,
        "seed": seed,
        "scoring": scoring,
        "results": results,
        "parameters": {"total": 1_234_000},
        "seconds": {"training": 60.0 * seed, "network": 2.0, "evaluated_audio": 100.0},
        "commit": "c0ffee",
        "command": "python train.py",
        **more,
    }
    content = {key: value for key, value in content.items() if value is not None}
    (folder / "result.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def measured(heard, measure):
    """A rate with its counts."""
    total = score([" ".join(WORDS)] * len(heard), heard, LEVELS[measure]).total
    return {"percent": round(100 * total.rate, 3)}


def write_texts(path, texts, phones, speakers):
    count = len(next(iter(texts.values())))
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        whose = ["speaker", "recording"] if speakers else []
        writer.writerow(["id", "duration", *whose, "reference", *(["phonemes"] if phones else []), *texts])
        for i in range(count):
            reference = " ".join(WORDS)
            whose = [f"s{i % speakers}", f"u{i:03d}"] if speakers else []
            row = [f"u{i:03d}", 3.0, *whose, reference, *([reference] if phones else [])]
            writer.writerow([*row, *(heard[i] for heard in texts.values())])


def make_examples(folder, units=("<blank>", "▁", "a", "ng'")):
    """examples.npz: a gate that turns from 10 to 40 ms halfway, an unsure CAR, chunks of two frames."""
    gate = np.zeros((80, 3), np.uint8)
    gate[:40, 0] = gate[40:, 2] = 255
    decoder = np.zeros((20, len(units)), np.uint8)
    decoder[:, 0] = 255
    for frame, unit in ((4, 2), (10, 1), (15, 3)):
        decoder[frame] = 0
        decoder[frame, unit] = 250
    utterance = {"id": "u000", "text": "a _ng'_ & 5 %", "units": list(units)}
    utterance |= {"seconds": 0.8, "resolutions": [1, 2, 4]}
    about = {"blank": units[0], "utterances": [utterance]}
    mel = np.arange(80 * 20, dtype=np.uint32).reshape(80, 20).astype(np.uint8)
    start = (np.arange(len(decoder)) % 2 == 0).astype(np.uint8)
    np.savez_compressed(
        folder / "examples.npz",
        about=json.dumps(about),
        mel_0=mel,
        gate_0=gate,
        decoder_0=decoder,
        car_0=decoder // 2,
        chunk_0=200 * start,
        start_0=start,
    )


def history(*rates):
    """A `history` whose dev WER goes through some percentages."""
    return [
        {"epoch": i, "steps": 10 * i, "seconds": 5.0 * i, "train": {"loss": 1.0}, "dev": {"loss": 1.0, "WER": rate}}
        for i, rate in enumerate(rates, start=1)
    ]
