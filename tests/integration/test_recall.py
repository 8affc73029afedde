"""A run whose encoder keeps its weights: its frames are computed once, and all of the run reads them."""

from collections import Counter

import pytest
import torch
from safetensors.torch import load_file

from serenanet_modules.data.frame_cache import ENCODED
from tests.support import hooks
from tests.support.encoders import save_encoder
from tests.support.presets import preset
from tests.support.tiny import PAIRS, SIZES, checkpoints, distance, history, make_corpus, same, weights

HEAD = ("--d_model", 32, "--head.n_layers", 1, "--head.n_heads", 2, "--head.d_ffn", 32)
SHORT = ("--number_of_epochs", 2, "--beam_size", 0)
SOUNDS = sum(SIZES.values())  # none is longer than a piece


@pytest.fixture(scope="module", name="encoder")
def _encoder(tmp_path_factory):
    return save_encoder(tmp_path_factory.mktemp("encoders") / "wav2vec2", "wav2vec2")


@pytest.fixture(name="corpus")
def _corpus(tmp_path):
    """One whose prepared folder holds no frames yet."""
    return make_corpus(tmp_path / "sw")


@pytest.fixture(name="begin")
def _begin(train, train_both, encoder, corpus, tmp_path):
    def begin(name, *more, start=train, **options):
        model = [str(part) for part in ("--encoder.source", encoder, *HEAD)]
        given = {"hparams": preset("pretrained_ctc"), "model": model, "folder": tmp_path / name, "corpus": corpus}
        return start(*SHORT, *more, **given, **options)

    return begin


def shards(corpus):
    return sorted((corpus / "prepared" / ENCODED).glob("*/*.safetensors"))


def test_each_sound_is_encoded_once(begin, corpus):
    """By the first of all runs; training, validation and evaluation of all read it. The encoder keeps its bits.

    What measures a training is kept exactly.
    """
    first = begin("first", hooks=[hooks.counting]).done()
    assert hooks.encoded(first.folder) == [1] * SOUNDS
    kept = Counter(str(frames.dtype) for shard in shards(corpus) for frames in load_file(shard).values())
    assert kept == {"torch.float16": SIZES["train"], "torch.float32": SIZES["dev"] + SIZES["test"]}
    second = begin("second", hooks=[hooks.counting]).done()
    assert not hooks.encoded(second.folder) and same(second, first)
    assert first.result["seconds"]["encoder_cache"] == second.result["seconds"]["encoder_cache"] > 0
    kept = load_file(first.folder / "save/frozen.safetensors")
    assert kept and all(torch.equal(tensor, weights(first.folder)[f"model.{name}"]) for name, tensor in kept.items())
    assert {name.partition(".encoder.")[0] for name in kept} == {"acoustic"}


@pytest.mark.parametrize(("dtype", "bound"), [("float32", 1e-4), ("float16", 1e-2)])
def test_recalled_against_live(begin, dtype, bound):
    """Losses of both epochs, of train and dev; live, utterances of a batch are encoded together, again and again."""
    live = begin("live", "--dropout", 0, "--encoder_cache", "null", hooks=[hooks.counting]).done()
    found = begin("found", "--dropout", 0, "--encoder_cache", dtype).done()
    assert sum(hooks.encoded(live.folder)) >= 2 * (SIZES["train"] + SIZES["dev"]) + SIZES["dev"] + SIZES["test"]
    for one, other in zip(history(live), history(found), strict=True):
        for part in ("train", "dev"):
            assert one[part]["loss"] == pytest.approx(other[part]["loss"], rel=bound)


def test_killed_while_frames_are_written(begin, corpus):
    """What is whole stays, the rest is made; then a kill in the training. It ends as the run that nothing disturbed."""
    whole = begin("whole").done()
    for shard in shards(corpus):
        shard.unlink()
    run = begin("run", hooks=[hooks.in_small_files, hooks.counting])
    run.until(lambda: len(shards(corpus)) > 5)
    run.kill()
    made = len(shards(corpus))
    assert made < SOUNDS and not (run.folder / "hyperparams.yaml").read_text(encoding="utf-8") == ""
    run = begin("run", "--ckpt_interval_minutes", 0.0005, hooks=[hooks.slow, hooks.counting])
    run.until(lambda: checkpoints(run.folder))
    run.kill()
    assert SOUNDS <= len(hooks.encoded(run.folder)) <= SOUNDS + 1  # the one that was under way, twice
    run = begin("run", hooks=[hooks.counting]).done()
    assert len(hooks.encoded(run.folder)) <= SOUNDS + 1 and same(run, whole)


def test_two_processes(begin, train_both):
    """The main one encodes; both read, and learn what one process learns that accumulates two micro-batches."""
    both = begin("both", start=train_both, hooks=[hooks.counting])
    for run in both:
        run.done()
    assert hooks.encoded(both[0].folder) == [1] * SOUNDS
    one = begin("one", *PAIRS).done()
    assert distance(one.folder, both[0].folder) < 1e-5


def test_two_runs_at_once(begin):
    """One of them encodes while the other waits; both then learn the same."""
    runs = [begin(name, hooks=[hooks.in_small_files, hooks.counting]) for name in ("one", "other")]
    for run in runs:
        run.done()
    assert sorted(len(hooks.encoded(run.folder)) for run in runs) == [0, SOUNDS]
    assert same(*runs)


def test_at_each_speed(begin):
    """A perturbed utterance too is encoded once for all epochs, at each speed."""
    speed = ("--speed_perturb", "!new:speechbrain.augment.time_domain.SpeedPerturb {orig_freq: 16000}")
    run = begin("run", *speed, hooks=[hooks.counting]).done()
    assert hooks.encoded(run.folder) == [1] * (3 * SIZES["train"] + SIZES["dev"] + SIZES["test"])


def test_a_full_disk(begin, corpus):
    """One sentence, of the file with the frames."""
    begin("first").done()
    for shard in shards(corpus):
        shard.unlink()
    run = begin("run", hooks=[hooks.full_disk])
    assert run.wait() == 2
    assert "could not be written" in run.output and "make room" in run.output.splitlines()[-1]
    assert ".safetensors" in run.output.splitlines()[-1]
    assert "Traceback" not in run.output
