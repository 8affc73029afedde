"""Hybrid CTC/attention models through the whole job, and language models of their units."""

import json
import shutil
import socket

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from serenanet_modules.analysis.scoring import score
from serenanet_modules.cli import main as serenanet
from serenanet_modules.decoding import ngram
from serenanet_modules.decoding.tuning import JOINT_LM_WEIGHTS, JOINT_WORD_SCORES
from serenanet_modules.errors import UserError
from serenanet_modules.inference.recognizer import Recognizer
from serenanet_modules.runs.dev import read_dev
from serenanet_modules.runs.language_model import NeuralLMRun
from tests.support import hooks
from tests.support.tiny import (
    HYBRID,
    PAIRS,
    PESSL,
    ROOT,
    SHORT_PESSL,
    Run,
    checkpoints,
    command,
    decoded,
    distance,
    heard,
    held_out,
    log,
    make_corpus,
    weights,
)

LM = """
    --d_model 16 --model.n_layers 1 --model.n_heads 2 --model.d_ffn 32 --number_of_epochs 2 --max_batch_labels 300
    --num_workers 0 --lr 0.01 --warmup_steps 5 --held_out_share 0.2 --device=cpu
""".split()
ATTENTION = ["attention/greedy", "attention/beam", "attention/beam+lm"]


@pytest.fixture(scope="module")
def hybrid(corpus, tmp_path_factory):
    """A whole job that nothing disturbed, two micro-batches a step."""
    folder = tmp_path_factory.mktemp("hybrid") / "run"
    return Run(command(corpus, folder, *PAIRS, **HYBRID), folder).done()


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Two text files, the second one compressed by nobody."""
    folder = tmp_path_factory.mktemp("texts")
    words = "mimi wewe sisi ninyi wao anakula wanakula tunasoma kitabu vitabu nyumba shule leo kesho sana".split()
    lines = [" ".join(words[(i * k + k) % len(words)] for k in range(2, 7)) for i in range(60)]
    (folder / "a.txt").write_text("\n".join(lines[:40]) + "\n", encoding="utf-8")
    (folder / "b.txt").write_text("\n".join(lines[40:]) + "\n", encoding="utf-8")
    return [folder / "a.txt", folder / "b.txt"]


def lm_command(hybrid, folder, texts, *more):
    return [
        *(str(ROOT / "recipes/LibriSpeech/LM/train.py"), str(ROOT / "hparams/transformer_lm.yaml")),
        *("--acoustic", str(hybrid.folder), "--output_folder", str(folder), "--text", *map(str, texts)),
        *(*LM, *map(str, more)),
    ]


@pytest.fixture(scope="module")
def lm(hybrid, texts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lm") / "run"
    return Run(lm_command(hybrid, folder, texts), folder).done()


def test_both_heads_are_scored(hybrid):
    """Decoders of the CTC head, of the attention decoder, and of both jointly, with the weights that dev chose."""
    for split in ("dev", "test"):
        assert list(hybrid.result["results"][split])[-3:] == ATTENTION
        assert {"decoder/greedy", "decoder/prefix-beam"} < hybrid.result["results"][split].keys()
        assert set(ATTENTION) < decoded(hybrid.folder, split)[0].keys()
    assert hybrid.result["decoding"]["attention/beam"].keys() == {"ctc_weight"}
    assert hybrid.result["decoding"]["attention/beam+lm"].keys() == {"ctc_weight", "lm_weight", "word_score"}
    assert hybrid.result["parameters"]["attention"] > 0
    tags = EventAccumulator(str(hybrid.folder / "tensorboard")).Reload().Tags()["scalars"]
    assert {"train/ctc", "train/attention", "train/accuracy", "dev/WER", "dev/ctc_CER"} <= set(tags)


def test_killed_and_resumed(train, hybrid):
    """SIGKILL mid-epoch costs no exactness."""
    run = train(*PAIRS, "--ckpt_interval_minutes", 0.0005, hooks=[hooks.slow], **HYBRID)
    run.until(lambda: checkpoints(run.folder))
    run.kill()
    run = train(*PAIRS, **HYBRID).done()
    assert "Resuming " in log(run.folder)
    assert distance(run.folder, hybrid.folder) == 0
    assert decoded(run.folder, "test") == decoded(hybrid.folder, "test")


def test_two_processes_are_one(train_both, hybrid):
    """The same weights, hypotheses and tuned weights."""
    runs = train_both(**HYBRID)
    for run in runs:
        run.done()
    assert distance(runs[0].folder, hybrid.folder) < 1e-5
    assert decoded(runs[0].folder, "test") == decoded(hybrid.folder, "test")
    assert runs[0].result["decoding"] == hybrid.result["decoding"]


def test_starts_from_a_pretraining(train, tmp_path):
    """The encoder is that of the pre-training, which knows nothing of label decoders."""
    sizes = [a for a in HYBRID["model"] if a not in ("--pessl", "null")]
    sizes = sizes[: sizes.index("--attention_decoder.n_layers")] + ["--n_mels", "40", "--features.n_fft", "512"]
    swap = ("--encoder", "!include:encoders/conmamba.yaml", "--frontend", "!include:frontends/conv2d.yaml")
    first = train(*SHORT_PESSL, hparams=PESSL["hparams"], model=[*swap, *sizes], folder=tmp_path / "first").done()
    more = ("--number_of_epochs", 1, "--lr", 0, "--beam_size", 0, "--attention_beam_size", 0)
    run = train(*more, "--pretrained", first.folder, **HYBRID).done()
    before, after = weights(first.folder), weights(run.folder)
    shared = [name for name in before if name.startswith(("model.acoustic.encoder", "model.acoustic.frontend"))]
    assert shared and all((before[name] == after[name]).all() for name in shared)
    assert list(run.result["results"]["test"])[-1] == "attention/greedy"


def test_mamba_decoder_and_phonemes(train):
    """Mamba layers decode phonemes, whose error rate is of phones."""
    mamba = ("--attention_decoder", "!include:decoders/mamba.yaml", "--attention_decoder.n_layers", "1")
    model = [*HYBRID["model"], *mamba]
    run = train("--number_of_epochs", 1, "--units", "phoneme", hparams=HYBRID["hparams"], model=model).done()
    results = run.result["results"]["test"]
    assert set(results["attention/greedy"]) == set(results["attention/beam"]) == {"PER"}
    assert "attention/beam+lm" not in results and "decoder/lexicon-beam" in results


def test_language_model_folder(lm, hybrid):
    """Perplexity of held-out sentences, whose units are those of the recogniser."""
    (p,) = lm.result["perplexity"].values()
    assert 1 < p["per_unit"] < lm.result["units"]["size"] == hybrid.result["units"]["size"]
    assert p["sentences"] == 12 and p["words"] == 60 and p["per_word"] > p["per_unit"]
    assert (lm.folder / "save/units/units.model").read_bytes() == (
        hybrid.folder / "save/units/units.model"
    ).read_bytes()


def test_language_model_is_evaluated(lm, tmp_path, capsys):
    """By ``serenanet evaluate``, on the held-out sentences as its training did."""
    text = held_out(lm.folder / "save", tmp_path / "held_out.txt")
    assert serenanet(["evaluate", str(lm.folder), str(text), "--out", str(tmp_path / "out"), "--device", "cpu"]) == 0
    assert capsys.readouterr().err.endswith(f"{tmp_path / 'out'}: scores.json\n")
    assert json.loads((tmp_path / "out/scores.json").read_text())["perplexity"] == lm.result["perplexity"]


def test_language_model_of_two_processes(lm, hybrid, texts, tmp_path):
    """As one that accumulates."""
    folder = tmp_path
    one = Run(lm_command(hybrid, folder / "one", texts, *PAIRS), folder / "one").done()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        launch = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    arguments = lm_command(hybrid, folder / "two", texts)
    runs = [Run(arguments, folder / "two", (), launch | {"RANK": rank, "LOCAL_RANK": rank}) for rank in "01"]
    assert all(run.done() for run in runs)
    assert distance(folder / "one", folder / "two") < 1e-5
    assert runs[0].result["perplexity"]["held_out"] == pytest.approx(one.result["perplexity"]["held_out"], abs=1e-3)


def test_language_model_resumes(train, lm, hybrid, texts, tmp_path):
    """Killed mid-epoch and started again, it ends with the same weights."""
    arguments = lm_command(hybrid, tmp_path / "run", texts, "--ckpt_interval_minutes", 0.0005)
    run = Run(arguments, tmp_path / "run", [hooks.slow])
    run.until(lambda: checkpoints(run.folder))
    run.kill()
    run = Run(arguments, tmp_path / "run").done()
    assert "Resuming " in log(run.folder)
    assert distance(run.folder, lm.folder) == 0 and run.result["perplexity"] == lm.result["perplexity"]


def test_recogniser_with_a_neural_language_model(hybrid, lm, corpus, tmp_path):
    """A finished run is evaluated anew with it, and the folder transcribes as it was evaluated."""
    folder = tmp_path / "copy"
    shutil.copytree(hybrid.folder, folder)
    run = Run(command(corpus, folder, *PAIRS, "--neural_lm", lm.folder, **HYBRID), folder).done()
    assert distance(folder, hybrid.folder) == 0
    assert list(run.result["results"]["test"])[-1] == "attention/beam+neural-lm"
    rows = decoded(folder, "test")
    clips = heard(corpus, folder, rows)
    recognizer = Recognizer.from_folder(folder)
    for how, decoder in (
        (None, "attention/beam"),
        (lm.folder, "attention/beam+neural-lm"),
        (folder / "save/lm.arpa", "attention/beam+lm"),
    ):
        assert [found.text for found in recognizer.transcribe(clips, lm=how)] == [row[decoder] for row in rows]
    with pytest.raises(
        UserError, match="does not contain its language model"
    ):  # a path in a folder that may be anybody's
        recognizer.transcribe(clips, lm="auto")


def test_another_language_model_is_weighed(hybrid, tmp_path, monkeypatch):
    """The joint search gets the weights that are best on what the folder keeps of dev, once."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    ngram.estimate(["mama anakula", "baba anakula"], 2, tmp_path / "few.arpa")
    dev, decoder = read_dev(hybrid.folder), Recognizer.from_folder(hybrid.folder).decoder(tmp_path / "few.arpa")
    rows, texts = [row for known in dev for row in known.rows], [known.text for known in dev]
    assert len(rows) == len(texts) > 3

    def wrong(search):
        return score(texts, [found.text for found in search.decode_rows(rows)]).total.errors

    first = decoder.with_weights(lm_weight=JOINT_LM_WEIGHTS[0], word_score=JOINT_WORD_SCORES[0])
    assert wrong(decoder) <= wrong(first) and decoder.name == "attention/beam+lm"
    (kept,) = (tmp_path / "cache/serenanet").iterdir()
    kept.write_text(json.dumps({"lm_weight": 0.3, "word_score": 7.0}))
    again = Recognizer.from_folder(hybrid.folder).decoder(tmp_path / "few.arpa")
    assert (again.lm_weight, again.word_score) == (0.3, 7.0)


def test_refusals(train, hybrid, lm, texts, tmp_path):
    """One sentence each, before any long work."""
    for arguments, message in (
        (("--attention_decoder", "null"), "'attention_decoder' is null"),
        (("--ctc_weight", 1.5), "'ctc_weight' must be between 0 and 1"),
        (("--neural_lm", tmp_path), "is not the result folder of a finished language model"),
    ):
        run = train(*arguments, **HYBRID)
        assert run.wait() == 2 and message in run.output.splitlines()[-1] and "Traceback" not in run.output
    for arguments, message in (
        (lm_command(hybrid, tmp_path / "lm", ["missing.txt"]), "there is no text file missing.txt"),
        (lm_command(hybrid, tmp_path / "lm", texts, "--acoustic", tmp_path), "save/units is missing"),
    ):
        run = Run(arguments, tmp_path / "lm")
        assert run.wait() == 2 and message in run.output.splitlines()[-1] and "Traceback" not in run.output
    other = make_corpus(tmp_path / "other", sizes={"train": 6, "dev": 2, "test": 2})
    short = ("--number_of_epochs", 1, "--beam_size", 0, "--attention_beam_size", 0, "--units", "char")
    characters = train(*short, corpus=other, folder=tmp_path / "characters", **HYBRID).done()
    run = train(*short, "--neural_lm", lm.folder, corpus=other, folder=tmp_path / "characters", **HYBRID)
    assert run.wait() == 2 and "has other units" in run.output.splitlines()[-1]
    with pytest.raises(UserError, match="has other units"):
        Recognizer.from_folder(characters.folder).transcribe([], lm=lm.folder)
    broken = tmp_path / "broken"
    shutil.copytree(lm.folder, broken)
    for content, message in ((json.dumps({"pretraining": {}}), "that of another kind of run"), ("{", "not valid JSON")):
        (broken / "result.json").write_text(content, encoding="utf-8")
        with pytest.raises(UserError, match=message):
            NeuralLMRun(broken)
