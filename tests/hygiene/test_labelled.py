"""What a model has labelled trains with its weight, and only where dev and test have nothing to do with it."""

import csv
import dataclasses
from pathlib import Path

import pytest

from serenanet_modules.data.held_out import HeldOut
from serenanet_modules.data.manifest import read_manifest
from serenanet_modules.data.preparation import prepare
from serenanet_modules.data.sifting import Settings, inspect, trainable
from serenanet_modules.data.units import load_units
from serenanet_modules.decoding.arpa import NGram
from serenanet_modules.runs.words import read_words
from tests.support.hooks import indifferent
from tests.support.layouts import candidates
from tests.support.presets import preset
from tests.support.tiny import SAMPLE, SIZES, Run, command, distance, make_corpus, read_tsv

PLAIN = (
    """
    --dropout 0 --speed_perturb null --spec_augment null --car null --gate_l2 0.0 --lr 0.1 --warmup_steps 1
    --number_of_epochs 1 --max_batch_seconds 1000 --max_grad_norm 1e9 --checkpoints_to_average 1 --beam_size 0 --lm null
    --scoring decoder
""".split()
    + ["--opt_class", "!name:torch.optim.SGD {lr: 0.1}"]
)
PARTS = """
    --d_model 32 --encoder.n_layers 1 --encoder.d_ffn 64 --encoder.kernel_size 5 --n_mels 40 --features.n_fft 512
    --units char --attention_decoder.n_layers 1 --attention_decoder.d_ffn 64 --attention_beam_size 0
    --frontend !include:frontends/conv1d.yaml
""".split()  # SpeechBrain's two-dimensional front end has a dropout of its own
HYBRID = {"hparams": preset("conmamba_s2s"), "model": PARTS}
MANY = ("--max_batch_seconds", 12, "--grad_accumulation_factor", 50)  # micro-batches in the one step


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("labelled") / "sw")


def labelled(path, rows, **more):
    """A manifest as ``serenanet pseudo-label`` writes one, of (clip, text, speaker, id)."""
    columns = {"split": "train", "labelled_by": "sw/teacher/1", **more}
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "text", "speaker", "id", *columns])
        writer.writerows([*row, *columns.values()] for row in rows)
    return path


def of_sample(start, stop, text=None):
    """Clips of the embedded training set that the tiny corpus has not."""
    rows = read_tsv(SAMPLE / "train.tsv")[start:stop]
    return [(SAMPLE / "clips" / row["path"], text or row["sentence"], "", Path(row["path"]).stem) for row in rows]


def test_leaks_are_refused_and_counted(corpus, tmp_path):
    """By recording (under another name too), id, speaker and sentence; people's own rows stay, whatever they share."""
    dev, test = (read_tsv(corpus / f"{split}.tsv")[0] for split in ("dev", "test"))
    clip, new = of_sample(30, 31)[0], of_sample(31, 34)
    (tmp_path / "link.mp3").symlink_to(corpus / "clips" / dev["path"])
    copy = tmp_path / test["path"]
    copy.write_bytes((corpus / "clips" / test["path"]).read_bytes())
    rows = [
        (tmp_path / "link.mp3", "maneno mengine", "", "a"),
        (copy, "maneno mengine tena", "", "b"),
        (clip[0], "maneno ya tatu", "", Path(dev["path"]).stem),
        (new[0][0], "maneno ya nne", test["client_id"], "c"),
        (new[1][0], f"{dev['sentence'].upper()} !", "", "d"),
        (new[2][0], "maneno ya mwisho", "", "e"),
    ]
    found = candidates("CommonVoice", [corpus, labelled(tmp_path / "pseudo.csv", rows)], "sw")
    prepared = prepare(found, tmp_path / "prepared", progress=False)
    reasons = [f"{what} of dev or test" for what in ("recording", "id", "speaker", "sentence")]
    assert prepared.summary["splits"]["train"]["rejected"] == dict(zip(reasons, (1, 2, 1, 1), strict=True))
    kept = [u for u in read_manifest(prepared.manifest) if u.labelled_by]
    assert [(u.id, u.labelled_by, u.weight) for u in kept] == [("e", "sw/teacher/1", 1.0)]
    assert {c.id for c in trainable(found, Settings()) if c.labelled_by} == {"e"}  # what units are learned from
    by_people = [dataclasses.replace(c, labelled_by="") for c in found]
    assert not [clip for clip in inspect(by_people, progress=False) if clip.reason]


@pytest.mark.parametrize("case", ["lower", "keep"])
def test_a_sentence_is_the_same_however_it_is_written(corpus, tmp_path, case):
    """In a run whose texts have capitals and marks, and in one whose texts have none, there and here."""
    dev = read_tsv(corpus / "dev.tsv")[0]["sentence"]
    written = [f"{dev.upper()} !", dev.lower().rstrip("."), f"“{dev}”", "maneno ya mwisho"]
    rows = [(clip, text, "", name) for (clip, *_, name), text in zip(of_sample(30, 34), written, strict=True)]
    found = candidates("CommonVoice", [corpus, labelled(tmp_path / "pseudo.csv", rows)], "sw")
    settings = Settings(text_case=case, punctuation={"lower": "drop", "keep": "keep"}[case])
    rejected = [clip.reason for clip in inspect(found, settings, progress=False) if clip.reason]
    assert rejected == ["sentence of dev or test"] * 3
    held_out = HeldOut.read([corpus], "sw")
    free = candidates("CommonVoice", [labelled(tmp_path / "pseudo.csv", rows)], "sw")
    assert [held_out.has(c, c.text) for c in free] == ["sentence"] * 3 + [""]


def test_weights_are_read_and_judged(corpus, tmp_path):
    rows = of_sample(30, 32)
    found = candidates("CommonVoice", [corpus, labelled(tmp_path / "p.csv", rows, weight=0.25)], "sw")
    prepared = prepare(found, tmp_path / "prepared", progress=False)
    assert sorted(u.weight for u in read_manifest(prepared.manifest, "train")) == [0.25] * 2 + [1.0] * SIZES["train"]
    nothing = [dataclasses.replace(c, weight=0.0) if c.labelled_by else c for c in found]
    summary = prepare(nothing, tmp_path / "prepared", progress=False).summary["splits"]["train"]
    assert summary["rejected"] == {"weight 0": 2} and summary["utterances"] == SIZES["train"]


@pytest.fixture(scope="module")
def one_step(corpus, tmp_path_factory):
    """``one_step(name, *manifests, more=…)``: a run that takes one step of plain gradient descent."""
    folder = tmp_path_factory.mktemp("runs")

    def run(name, *manifests, more=(), **model):
        line = command(corpus, folder / name, *PLAIN, *more, **model)
        line[line.index("--data_folder") + 1] = f"[{', '.join(map(str, (corpus, *manifests)))}]"
        return Run(line, folder / name, [indifferent]).done()

    return run


def test_a_weight_is_what_repetition_would_be(one_step, tmp_path):
    """Weight 2 has the gradient of each utterance twice, and 0 that of none, also in many micro-batches of a step."""
    rows = of_sample(30, 36)
    pseudo = labelled(tmp_path / "pseudo.csv", rows)
    again = labelled(tmp_path / "again.csv", [(*row[:3], f"{row[3]}-2") for row in rows])
    without, none = one_step("without"), one_step("none", pseudo, more=["--pseudo_weight", 0])
    assert distance(without.folder, none.folder) == 0
    once, both = one_step("once", pseudo), one_step("both", pseudo, again)
    twice = one_step("twice", pseudo, more=["--pseudo_weight", 2])
    parts = one_step("parts", pseudo, more=["--pseudo_weight", 2, *MANY])
    assert {run.result["steps"] for run in (without, both, twice, parts)} == {1}
    found = distance(both.folder, twice.folder), distance(twice.folder, parts.folder)
    print(f"largest differences {found[0]:.1e}, {found[1]:.1e}")
    assert max(found) < 1e-6
    assert min(distance(once.folder, other.folder) for other in (both, without)) > 1e-4
    own = labelled(tmp_path / "own.csv", rows, weight=2)  # the same as a column of the manifest
    assert distance(one_step("own", own).folder, twice.folder) == 0


def test_weights_of_hybrid_models(one_step, tmp_path):
    """The attention decoder's loss knows them too."""
    rows = of_sample(30, 33)
    pseudo = labelled(tmp_path / "pseudo.csv", rows)
    again = labelled(tmp_path / "again.csv", [(*row[:3], f"{row[3]}-2") for row in rows])
    both = one_step("hybrid-both", pseudo, again, **HYBRID)
    twice = one_step("hybrid-twice", pseudo, more=["--pseudo_weight", 2], **HYBRID)
    once = one_step("hybrid-once", pseudo, **HYBRID)
    print(f"largest difference {distance(both.folder, twice.folder):.1e}")
    assert distance(both.folder, twice.folder) < 1e-6 < 1e-5 < distance(both.folder, once.folder)


def test_the_language_model_is_of_peoples_text(one_step, tmp_path):
    """A word that only a model has written is in the units, and not in what judges its next transcripts.

    That is the n-grams, and the words of which confidences know whether they are a training's.
    """
    pseudo = labelled(tmp_path / "pseudo.csv", of_sample(30, 33, text="qamili"))
    run = one_step("lm", pseudo, more=["--beam_size", 2, "--lm", "auto", "--lm_weight", 0.5, "--word_score", 0])
    assert "qamili" not in NGram(run.folder / "save/lm.arpa") and "q" in load_units(run.folder / "save/units").pieces
    words = read_words(run.folder)
    assert "qamili" not in words and set(read_tsv(SAMPLE / "train.tsv")[0]["sentence"].lower().split()) & words
