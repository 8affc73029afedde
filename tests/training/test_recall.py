"""A fixed encoder's frames, computed once and read from disk ever after."""

import multiprocessing
import os
import shutil
import signal
from collections import namedtuple

import pytest
import torch
from torch import nn

from serenanet_modules.data import frame_cache
from serenanet_modules.errors import UserError
from serenanet_modules.lobes.blocks.lengths import zero_padding
from serenanet_modules.lobes.blocks.parts import Frames
from serenanet_modules.lobes.encoders import RotaryTransformerEncoder
from serenanet_modules.lobes.pretrained import EncodedModel, PublicEncoder
from serenanet_modules.training import recall
from serenanet_modules.training.groups import Frozen, groups
from serenanet_modules.training.recall import MEASURED, Recall, name_of, recalled
from tests.support.encoders import TINY

HOP = 10


class Part(nn.Module):
    """Frames of ten samples; says how often it was called."""

    def __init__(self, size=4, factor=1.0):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.drop, self.factor, self.calls = nn.Linear(HOP, size), nn.Dropout(0.5), factor, 0

    def extra_repr(self):
        return f"factor={self.factor}"

    def forward(self, wavs, lengths):
        self.calls += 1
        frames = -(-lengths // HOP)
        x = zero_padding(nn.functional.pad(wavs, (0, -wavs.shape[1] % HOP)).unflatten(1, (-1, HOP)), frames)
        return Frames(zero_padding(self.drop(self.layer(x)) * self.factor, frames), frames)


class Heard(list):
    """Sounds of a run."""

    name, seconds = "all", 1.0


def sounds(count=6):
    generator = torch.Generator().manual_seed(1)
    return Heard(torch.randn(35 + 10 * i, generator=generator) for i in range(count))


def batch(rows):
    return nn.utils.rnn.pad_sequence(list(rows), batch_first=True), torch.tensor([len(row) for row in rows])


@pytest.mark.parametrize(("dtype", "bound"), [("float32", 0.0), ("float16", 1e-3)])
def test_recalled_against_live(tmp_path, dtype, bound):
    """In any batch: float32 bit by bit what each utterance gives alone; and the part is not asked again."""
    part, heard = Part(), sounds()
    found, *_ = recalled(part, tmp_path, dtype, heard)
    assert part.calls == len(heard)
    wavs, lengths = batch(heard[::-1])
    got = found(torch.cat([wavs, torch.full((len(wavs), 7), torch.nan)], 1), lengths)
    assert part.calls == len(heard)
    for row, samples, frames in zip(got.x, heard[::-1], got.lengths.tolist(), strict=True):
        alone = part(*batch([samples])).x[0]
        assert frames == len(alone) and row[frames:].eq(0).all() and row.dtype == torch.float32
        assert (row[:frames] - alone).abs().max() <= bound


def test_what_is_kept_exactly_counts_first(tmp_path):
    """In one batch with what is rounded; what measures a training has a cache of its own."""
    part, heard = Part(), sounds()
    rounded, *_ = recalled(part, tmp_path, "float16", heard)
    exact, *_ = recalled(part, tmp_path, MEASURED, Heard(heard[:2]))
    got = Recall(part, *exact.caches, *rounded.caches)(*batch(heard))
    alone = [part(*batch([samples])).x[0] for samples in heard]
    assert part.calls == 2 * len(heard) + 2
    assert [torch.equal(row[: len(x)], x) for row, x in zip(got.x, alone, strict=True)] == [True] * 2 + [False] * 4


def test_what_is_not_there_is_computed(tmp_path):
    """For the whole batch, and nothing is written."""
    part, heard = Part(), sounds()
    found, *_ = recalled(part, tmp_path, "float16", heard)
    files, new = sorted(tmp_path.rglob("*")), batch([heard[0], torch.ones(20)])
    assert torch.equal(found(*new).x, part(*new).x)
    assert sorted(tmp_path.rglob("*")) == files


def test_a_name_tells_parts_apart(monkeypatch):
    """By weights, arguments, type and the code's version; not by where the part is or whether it is training."""
    other = Part()
    nn.init.constant_(other.layer.bias, 1e-3)
    names = [name_of(Part(), "float16"), name_of(Part(), "float32"), name_of(other, "float16")]
    names += [name_of(Part(factor=2.0), "float16"), name_of(Part(size=3), "float16")]
    assert len(set(names)) == 5
    assert name_of(Part().eval(), "float16") == names[0]
    monkeypatch.setattr(recall, "VERSION", recall.VERSION + 1)
    assert name_of(Part(), "float16") not in names


def test_the_work_is_done_once(tmp_path, caplog):
    """A second run asks nothing, unless a file is missing, then only for what that held; it says what that took."""
    caplog.set_level("INFO")
    heard = sounds()
    _, *first = recalled(Part(), tmp_path, "float16", heard)
    part = Part()
    _, *second = recalled(part, tmp_path, "float16", heard)
    assert part.calls == 0 and second == first and first[0] > 0
    assert [record.message.partition(" in ")[0] for record in caplog.records] == ["encoding 0.0 minutes of audio"]
    more = sounds(8)
    more.name = "more"
    recalled(part, tmp_path, "float16", more)
    assert part.calls == 2
    next(tmp_path.rglob("*.safetensors")).unlink()
    recalled(part, tmp_path, "float16", more)
    assert part.calls > 2


def _killed(folder, heard):
    """Write two files, and die in the middle of the third."""
    frame_cache.SHARD_SECONDS = 0.0
    calls, write = [], frame_cache.write_tensors

    def dying(path, tensors):
        if len(calls) == 2:
            path.with_name(f".{path.name}.1.1.part").write_bytes(b"half of it")
            os.kill(os.getpid(), signal.SIGKILL)
        calls.append(path)
        write(path, tensors)

    frame_cache.write_tensors = dying
    recalled(Part(), folder, "float16", heard)


def test_a_killed_writer_loses_one_file(tmp_path):
    """The next one goes on with what is missing, in spite of the lock and of what lies half written."""
    heard = sounds()
    process = multiprocessing.get_context("fork").Process(target=_killed, args=(tmp_path, heard))
    process.start()
    process.join()
    assert process.exitcode == -9 and list(tmp_path.rglob(".*.part"))
    part = Part()
    found, *_ = recalled(part, tmp_path, "float16", heard)
    assert part.calls == len(heard) - 2 and not list(tmp_path.rglob(".*.part"))
    found(*batch(heard))
    assert part.calls == len(heard) - 2


def _worker(folder, heard, calls):
    part = Part()
    recalled(part, folder, "float16", heard)
    calls.put(part.calls)


def test_two_processes_share_the_work(tmp_path):
    """Each sound is computed by one of them, whoever comes first."""
    context, heard = multiprocessing.get_context("fork"), sounds()
    calls = context.SimpleQueue()
    both = [context.Process(target=_worker, args=(tmp_path, heard, calls)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert sorted(calls.get() for _ in both) == [0, len(heard)]


def test_no_room(tmp_path, monkeypatch):
    """Refused before the long work."""
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(100))
    part = Part()
    with pytest.raises(UserError, match=r"frames of .* need 0.0 GB, and 0.0 GB are free; make room"):
        recalled(part, tmp_path, "float16", sounds())
    assert part.calls == 1 and not list(tmp_path.rglob("*.safetensors"))


def test_values_beyond_float16(tmp_path):
    with pytest.raises(UserError, match="encoder_cache: float16 cannot hold .* give float32"):
        recalled(Part(factor=1e6), tmp_path, "float16", sounds())
    recalled(Part(factor=1e6), tmp_path, "float32", sounds())


@pytest.mark.parametrize("name", TINY)
def test_all_families(tmp_path, name):
    """What is kept of a public encoder is what it gives alone: float32 bit by bit, float16 within 1e-3."""
    torch.manual_seed(0)
    encoder = PublicEncoder(name, TINY[name]).eval()
    heard = Heard(0.1 * torch.randn(count) for count in (9000, 16000))
    with torch.inference_mode():
        alone = [encoder(*batch([samples])).x[0] for samples in heard]
    for dtype, bound in (("float32", 0.0), ("float16", 1e-3)):
        found, *_ = recalled(encoder, tmp_path, dtype, heard)
        got = found(*batch(heard))
        for row, frames, x in zip(got.x, got.lengths.tolist(), alone, strict=True):
            assert frames == len(x) and (row[:frames] - x).abs().max() <= bound * x.abs().max()


@pytest.mark.parametrize("name", TINY)
def test_steps_leave_what_is_frozen(name):
    """Bit by bit, buffers too, while the layers over it learn."""
    torch.manual_seed(0)
    model = EncodedModel(PublicEncoder(name, TINY[name]), RotaryTransformerEncoder(8, 2, 1, 8), 8)
    frozen, before = Frozen([model.encoder]), {n: t.clone() for n, t in model.state_dict().items()}
    optimizer = torch.optim.AdamW(groups(model), lr=0.1)
    for done in range(3):
        model.train()
        frozen.before(done)
        model(0.1 * torch.randn(2, 9000), torch.tensor([9000, 5000])).hidden.square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    same = {n: torch.equal(t, before[n]) for n, t in model.state_dict().items()}
    assert all(value for n, value in same.items() if n.startswith("encoder.")) and not same["project.weight"]
