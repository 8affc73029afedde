"""The whole job on a tiny corpus: what it leaves behind, and what it computed."""

import json
import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import asdict

import pytest
import torch
from ruamel.yaml import YAML
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from serenanet_modules.analysis.folders import Result
from serenanet_modules.analysis.scoring import ErrorCounts
from serenanet_modules.data.manifest import read_manifest
from serenanet_modules.runs.results import weights_told
from tests.support.hooks import bad_mean, good_mean, impatient, record, recorded
from tests.support.presets import preset
from tests.support.tiny import (
    PAIRS,
    ROOT,
    SIZES,
    checkpoints,
    command,
    decoded,
    log,
    make_corpus,
    train_log,
    weights,
)

DECODERS = ["decoder/greedy", "car/greedy", "average/greedy", "decoder/prefix-beam", "decoder/prefix-beam+lm"]


def test_result_folder_is_complete(reference):
    """Everything that a figure needs to be believed lies in the result folder."""
    names = {path.name for path in reference.folder.iterdir()}
    assert {"hyperparams.yaml", "env.log", "log.txt", "train_log.txt", "result.json", "weights.safetensors"} <= names
    assert {"examples.npz", "gates.npz"} <= names
    assert "!ref" not in (reference.folder / "hyperparams.yaml").read_text()
    assert len(train_log(reference.folder)) == 3
    for split in ("dev", "test"):
        for decoder in DECODERS:
            file = reference.folder / f"wer_{split}_{decoder.replace('/', '_')}.txt"
            assert all(row["id"] in file.read_text() for row in decoded(reference.folder, split))


def test_history_is_the_log(reference):
    """result.json has each epoch's losses and dev error rates, and the seconds so far."""
    history = reference.result["history"]
    assert [epoch["epoch"] for epoch in history] == [1, 2, 3]
    assert history[-1]["steps"] == reference.result["steps"]
    assert sorted(epoch["seconds"] for epoch in history) == [epoch["seconds"] for epoch in history]
    for epoch, line in zip(history, train_log(reference.folder), strict=True):
        others = {f"{source}_{measure}" for source in ("car", "average") for measure in ("WER", "CER")}
        assert {"loss", "ctc", "car_kl"} <= epoch["train"].keys()
        assert {"loss", "WER", "CER"} | others == epoch["dev"].keys()
        logged = re.search(r"valid CER: ([^\s,]+), valid WER: ([^\s,]+)", line)
        assert float(logged[1]) == pytest.approx(epoch["dev"]["CER"], rel=1e-2)
        assert float(logged[2]) == pytest.approx(epoch["dev"]["WER"], rel=1e-2)
    heading = next(line for line in reference.output.splitlines() if line.split()[:2] == ["epoch", "loss"])
    assert "dev loss dev CER dev WER " in heading and "average" not in heading
    seconds = reference.result["seconds"]
    assert 0 < seconds["network"] < seconds["evaluation"]


def test_how_long_it_will_take_is_said_at_once(train):
    """Before the first epoch what there is to do, and within it, where no bar is shown, how far it is; not with one."""
    short = ("--beam_size", 0, "--number_of_epochs", 2)
    run = train(*PAIRS, *short, hooks=[impatient]).done()
    batches = len(recorded(run.folder)[0]) // 2
    lines = run.output.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("epoch 1 of 2: 24 utterances in "))
    assert abs(int(lines[first].split()[-2]) - batches) <= 1
    outlook = r"epoch 1 of 2: \d+ of 24 utterances after \d s; all 2 epochs take about \d+ s"
    assert re.fullmatch(outlook, lines[first + 1]) and not any("epoch 2 of 2: " in line for line in lines)
    more = train(*PAIRS, *short[:2], "--number_of_epochs", 3, hooks=[impatient], folder=run.folder).done()
    assert (
        "number_of_epochs was 2 before and is 3 now: the learning rate now falls to its end at epoch 3\n" in more.output
    )
    assert re.search(r"epoch 3 of 3: \d+ of 24 utterances after \d s; what is left takes about \d+ s", more.output)
    shown = train(*short, hooks=[impatient], environment={"SERENANET_BARS": "1"}, folder=run.folder / "shown").done()
    assert "epoch 1 of 2: 24 utterances in " in shown.output and "24 utterances after" not in shown.output


def prepared_manifest(corpus, run):
    """The one that a run has read; other tests' runs may have prepared the corpus otherwise."""
    return corpus / "prepared" / run.result["data"]["key"][:12] / "manifest.csv"


def test_manifest_holds_the_corpus(corpus, reference):
    """All clips of the release are prepared, in their splits."""
    manifest = prepared_manifest(corpus, reference)
    assert Counter(u.split for u in read_manifest(manifest)) == SIZES
    assert reference.result["data"]["splits"]["train"]["utterances"] == SIZES["train"]


def length(counts):
    """Units in the reference."""
    return counts["hits"] + counts["substitutions"] + counts["deletions"]


@pytest.mark.parametrize("split", ["dev", "test"])
def test_scores_add_up(reference, split):
    """Every decoder has WER and CER, whose counts make the percentage, inside its interval."""
    results = reference.result["results"][split]
    assert list(results) == DECODERS
    words = sum(len(row["reference"].split()) for row in decoded(reference.folder, split))
    for measures in results.values():
        assert set(measures) == {"WER", "CER"}
        for r in measures.values():
            errors = r["substitutions"] + r["deletions"] + r["insertions"]
            assert r["percent"] == pytest.approx(100 * errors / length(r), abs=1e-3)
            assert r["interval_95"][0] <= r["percent"] <= r["interval_95"][1]
        assert length(measures["WER"]) == words


def test_tensorboard_holds_the_curves(reference):
    """Losses by name, error rates, learning rate and gate weights can be plotted."""
    events = EventAccumulator(str(reference.folder / "tensorboard")).Reload()
    tags = set(events.Tags()["scalars"])
    losses = {"loss", "ctc", "car_kl", "gate_l2", "car_l2"}
    gates = {"gate_10ms", "gate_20ms", "gate_40ms"}
    assert {f"train/{name}" for name in losses | gates | {"lr"}} | {"dev/loss", "dev/WER", "dev/CER"} <= tags
    assert sum(events.Scalars(f"train/{gate}")[0].value for gate in gates) == pytest.approx(1, abs=1e-3)
    assert len(events.Scalars("dev/WER")) == 3


def test_doing_it_again_does_nothing(corpus, reference, tmp_path):
    """The same command trains and prepares nothing again, and says the same."""
    folder = tmp_path / "copy"
    shutil.copytree(reference.folder, folder)
    prepared = {path: path.stat().st_mtime_ns for path in corpus.rglob("*.*")}
    before = {path: path.stat().st_mtime_ns for path in checkpoints(folder)}
    finished = subprocess.run(
        [sys.executable, *command(corpus, folder, *PAIRS)], cwd=tmp_path, capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stderr
    assert {path: path.stat().st_mtime_ns for path in corpus.rglob("*.*")} == prepared
    assert {path: path.stat().st_mtime_ns for path in checkpoints(folder)} == before
    assert train_log(folder) == train_log(reference.folder)
    result = json.loads((folder / "result.json").read_text())
    assert result["results"] == reference.result["results"]
    assert str(folder) in finished.stdout and "average/greedy" in finished.stdout


def test_accumulation_drops_nothing(corpus, reference):
    """Each epoch sees every utterance once, in ceil(micro-batches / 2) steps, the first far below the highest rate."""
    batches, steps = recorded(reference.folder)
    manifest = prepared_manifest(corpus, reference)
    train = Counter(u.id for u in read_manifest(manifest, "train"))
    counts = []
    for epoch in (1, 2, 3):
        inside = [batch["ids"] for batch in batches if batch["epoch"] == epoch]
        assert Counter(id for ids in inside for id in ids) == train
        assert sum(step["epoch"] == epoch for step in steps) == -(-len(inside) // 2)
        counts.append(len(inside))
    assert any(count % 2 for count in counts), f"no epoch of {counts} micro-batches has a step that runs short"
    assert reference.result["steps"] == len(steps)
    assert all(step["changed"] for step in steps)
    rates = [step["lr"] for step in steps]
    assert 0 < rates[0] < max(rates) / 2 < max(rates) <= 0.003


def test_batches_differ_between_epochs(reference):
    """No two epochs have the same batches."""
    batches, _ = recorded(reference.folder)
    epochs = [{frozenset(b["ids"]) for b in batches if b["epoch"] == epoch} for epoch in (1, 2, 3)]
    assert epochs[0] != epochs[1] != epochs[2]


def best_models(folder, count=2):
    """Tensors of the best checkpoints; of equals, the newest comes first."""
    yaml = YAML(typ="safe")
    metas = {path: yaml.load(path / "CKPT.yaml") for path in checkpoints(folder)}
    best = sorted(metas, key=lambda path: (metas[path]["error"], -metas[path]["unixtime"]))[:count]
    return [torch.load(path / "model.ckpt", weights_only=True) for path in best]


def test_weights_are_the_mean_of_the_best(train):
    """Where dev finds that as good; their normaliser is the run's. The screen, result.json and the card say so."""
    run = train(*PAIRS, "--beam_size", 0, hooks=[good_mean]).done()
    one, other = best_models(run.folder)
    kept = weights(run.folder)
    for name in one:
        torch.testing.assert_close(kept[f"model.{name}"], (one[name] + other[name]) / 2)
    normaliser = torch.load(run.folder / "save/statistics.pt", weights_only=True)
    for name in ("features.mean", "features.std"):
        torch.testing.assert_close(kept[f"model.acoustic.{name}"], normaliser[name], rtol=0, atol=0)
    std = normaliser["features.std"]
    assert std.min() > 0 and not torch.equal(std, torch.ones(40))
    found = run.result["weights"]
    assert len(found["epochs"]) == 2 and found["epochs"] == found["averaged"] and found["mean"] == 0.0
    told = weights_told(found)
    assert told.startswith("mean of epochs ") and f"\nweights: {told}\n" in run.output
    assert f"| weights | {told} |" in (run.folder / "README.md").read_text()


def test_the_best_checkpoint_where_the_mean_is_worse(train):
    """Its weights, bit for bit; and where one checkpoint is asked for, dev is not read again."""
    run = train(*PAIRS, "--beam_size", 0, hooks=[bad_mean]).done()
    history, found = run.result["history"], run.result["weights"]
    assert found["mean"] == 1000.0 and found["best"] == min(epoch["dev"]["CER"] for epoch in history)
    assert [history[int(epoch) - 1]["dev"]["CER"] for epoch in found["epochs"]] == [found["best"]]
    kept, (best,) = weights(run.folder), best_models(run.folder, 1)
    assert all(torch.equal(kept[f"model.{name}"], tensor) for name, tensor in best.items())
    again = train(*PAIRS, "--beam_size", 0, "--checkpoints_to_average", 1, hooks=[bad_mean], folder=run.folder).done()
    assert again.result["weights"] == {key: found[key] for key in ("epochs", "measure", "best")}
    assert all(torch.equal(kept[name], tensor) for name, tensor in weights(run.folder).items())


def test_early_stopping(train):
    """A run that does not get better ends after its patience."""
    arguments = ("--number_of_epochs", 20, "--early_stopping_patience", 1, "--lr", "0.0", "--beam_size", 0)
    run = train(*arguments).done()
    assert run.result["epochs"] == 2
    assert len(train_log(run.folder)) == 2


def test_bf16_on_a_cpu(train):
    """bf16 trains without a GPU: its steps change the weights, which stay fp32 and finite."""
    run = train("--precision", "bf16", "--number_of_epochs", 1, "--beam_size", 0, hooks=[record]).done()
    assert all(step["changed"] for step in recorded(run.folder)[1])
    assert all(t.dtype == torch.float32 and t.isfinite().all() for t in weights(run.folder).values())


def test_phoneme_units(train):
    """Phoneme units give PER, and words through a lexicon."""
    run = train("--units", "phoneme", "--number_of_epochs", 1).done()
    assert run.result["units"]["size"] <= 41
    for results in run.result["results"].values():
        assert {decoder: set(measures) for decoder, measures in results.items()} == {
            "decoder/greedy": {"PER"},
            "car/greedy": {"PER"},
            "average/greedy": {"PER"},
            "decoder/lexicon-beam": {"WER", "CER"},
            "decoder/lexicon-beam+lm": {"WER", "CER"},
        }
    assert re.search(r"PER: \d", train_log(run.folder)[0])
    counts = Result.read(run.folder).per_utterance("test", "car/greedy", "PER").values()
    told = run.result["results"]["test"]["car/greedy"]["PER"]
    assert asdict(sum(counts, ErrorCounts())).items() <= told.items(), "the texts alone give the same score"


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_subword_units(train, kind):
    """Subword units of the size asked for."""
    run = train("--units", kind, "--vocab_size", 40, "--number_of_epochs", 1, "--n_units", 40).done()
    assert run.result["units"] == {"kind": kind, "size": 40}
    assert length(run.result["results"]["test"]["decoder/prefix-beam+lm"]["WER"]) > 0


def test_another_locale(train, tmp_path):
    """English needs no more than its dataset.yaml and train.py."""
    words = "the quick brown fox doesn't jump over a lazy dog while rain falls on hills near town".split()
    rng = random.Random(1)
    texts = (" ".join(rng.sample(words, 4)).capitalize() + "." for _ in iter(int, 1))
    english = make_corpus(tmp_path / "release", texts, locale="en")
    run = train("--number_of_epochs", 1, "--lm", "null", corpus=english, recipe="en").done()
    assert run.result["dataset"] == "CommonVoice/en"
    assert run.result["data"]["locales"] == ["en"]
    assert any("doesn't" in row["reference"] for row in decoded(run.folder, "test") + decoded(run.folder, "dev"))


def test_conformer_for_comparison(train):
    """SpeechBrain's Conformer runs through the same file of three lines."""
    model = """--d_model 32 --encoder.n_layers 1 --encoder.n_heads 2 --encoder.d_ffn 64
               --frontend.channels [8,4] --n_mels 40 --features.n_fft 512""".split()
    run = train("--number_of_epochs", 1, hparams=preset("conformer_ctc"), model=model).done()
    assert list(run.result["results"]["test"]) == ["decoder/greedy", "decoder/prefix-beam", "decoder/prefix-beam+lm"]
    assert "gate" not in log(run.folder)
    assert run.result["parameters"]["total"] == sum(
        count for part, count in run.result["parameters"].items() if part != "total"
    )


def test_recipes_are_three_lines():
    """A recipe holds nothing but its dataset: both train.py are the same."""
    one, other = (ROOT / f"recipes/CommonVoice/{locale}/train.py" for locale in ("sw", "en"))
    assert one.read_text() == other.read_text()
