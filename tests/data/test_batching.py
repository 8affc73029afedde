"""Every utterance once per epoch, whatever the processes, the accumulation and the point of resuming."""

import random
import threading
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from serenanet_modules.data.batching import BatchSampler, Utterances, make_loader
from serenanet_modules.data.manifest import Utterance

durations_of_a_corpus = st.lists(st.floats(0.1, 40.0), min_size=1, max_size=60)
counts = st.integers(1, 4)
budgets = st.floats(0.5, 120.0)
quick = settings(max_examples=60, deadline=None)


def epoch_of(durations, budget, accumulation=1, world=1, epoch=1, **options):
    """The plans of all ranks, one list per rank."""
    plans = []
    for rank in range(world):
        sampler = BatchSampler(durations, budget, accumulation, rank=rank, world_size=world, **options)
        sampler.set_epoch(epoch)
        plans.append(list(sampler))
        assert len(plans[-1]) == len(sampler)
    return plans


def steps_of(plans):
    """Micro-batches of each optimizer step, all ranks together, by number."""
    steps, step = [], []
    for together in zip(*plans, strict=True):
        step += together
        assert len({p.closes_step for p in together}) == 1
        if together[0].closes_step:
            steps.append(sorted(step, key=lambda p: p.number))
            step = []
    assert not step
    return steps


@quick
@given(durations_of_a_corpus, budgets, counts, counts, st.booleans(), st.integers(1, 5))
def test_nothing_is_dropped_or_doubled(durations, budget, accumulation, world, shuffle, epoch):
    plans = epoch_of(durations, budget, accumulation, world, epoch, shuffle=shuffle)
    seen = Counter(i for rank in plans for plan in rank if plan.weight for i in plan.indices)
    assert seen == Counter(range(len(durations)))
    assert {plan.weight for rank in plans for plan in rank} <= {0.0, 1.0}


@quick
@given(durations_of_a_corpus, budgets, counts, counts)
def test_steps_close_and_count_their_utterances(durations, budget, accumulation, world):
    steps = steps_of(epoch_of(durations, budget, accumulation, world))
    for step in steps:
        assert len(step) == accumulation * world
        assert {p.step_size for p in step} == {sum(len(p.indices) for p in step if p.weight)}
        # what training multiplies each loss by makes every utterance of the step weigh the same
        assert sum(p.weight * len(p.indices) / p.step_size for p in step) == pytest.approx(1.0)
    assert all(p.weight for step in steps[:-1] for p in step)  # only the last runs short
    numbers = [p.number for step in steps for p in step]
    assert numbers == list(range(len(numbers)))


@quick
@given(durations_of_a_corpus, budgets, st.sampled_from([(1, 6), (2, 3), (3, 2), (6, 1)]))
def test_processes_and_accumulation_are_exchangeable(durations, budget, split):
    world, accumulation = split
    alone = steps_of(epoch_of(durations, budget, 6, 1))
    shared = steps_of(epoch_of(durations, budget, accumulation, world))
    # closes_step differs for all but the last of a step
    assert [[replace(p, closes_step=True) for p in s] for s in shared] == [
        [replace(p, closes_step=True) for p in s] for s in alone
    ]


@quick
@given(durations_of_a_corpus, budgets, counts, counts, st.data())
def test_resume_after_any_step(durations, budget, accumulation, world, data):
    (whole, *_) = epoch_of(durations, budget, accumulation, world, epoch=3)
    sampler = BatchSampler(durations, budget, accumulation, world_size=world)
    sampler.set_epoch(3)
    ended = data.draw(st.integers(0, len(whole) // accumulation)) * accumulation
    sampler.read = sum(plan.step_size for plan in whole[:ended] if plan.closes_step)
    assert list(sampler) == whole[ended:]
    assert (sampler.done, len(sampler)) == (ended, len(whole))  # of the whole epoch: a progress bar counts on it


@quick
@given(durations_of_a_corpus, budgets, counts, counts, st.integers(1, 4), st.lists(st.integers(0, 5), max_size=4))
def test_dev_is_read_within_an_epoch(durations, budget, accumulation, world, every, stops):
    """After each so many steps plans end; together they are the epoch's, also where a run was stopped on the way."""
    (whole, *_) = epoch_of(durations, budget, accumulation, world)
    sampler, found, ends = BatchSampler(durations, budget, accumulation, world_size=world, validate_every=every), [], []
    while sampler.read < len(durations):
        plans = list(sampler)
        assert len(sampler) == len(found) + len(plans)
        steps = min(stops.pop() if stops else len(durations), len(plans) // accumulation)
        found += plans[: steps * accumulation]
        sampler.read += sum(plan.step_size for plan in plans[: steps * accumulation] if plan.closes_step)
        if steps * accumulation == len(plans):
            sampler.judged = sampler.read
            ends.append(len(found) // accumulation)
    last = len(whole) // accumulation
    assert found == whole and ends == [*range(every, last, every), last]


@quick
@given(durations_of_a_corpus, budgets, st.lists(st.tuples(counts, counts, st.integers(0, 5)), max_size=4))
def test_other_numbers_of_processes_go_on(durations, budget, stops):
    """However often processes and accumulation change, each utterance is read once, with the same randomness."""
    found, read = [], 0
    for accumulation, world, steps in [*stops, (1, 2, len(durations))]:
        processes = [BatchSampler(durations, budget, accumulation, rank=r, world_size=world) for r in range(world)]
        for sampler in processes:
            sampler.read = read
        plans = [plan for sampler in processes for plan in list(sampler)[: steps * accumulation]]
        found += [plan for plan in plans if plan.weight]
        read += sum(plan.step_size for plan in plans[: steps * accumulation] if plan.closes_step)
    alone = epoch_of(durations, budget)[0]
    assert sorted((p.number, p.indices) for p in found) == [(p.number, p.indices) for p in alone]


@quick
@given(durations_of_a_corpus, budgets, st.booleans())
def test_budget(durations, budget, shuffle):
    for plan in epoch_of(durations, budget, shuffle=shuffle)[0]:
        padded = max(durations[i] for i in plan.indices) * len(plan.indices)
        assert padded <= budget or len(plan.indices) == 1


def test_a_number_of_utterances():
    plans = epoch_of([1.0] * 37, 100.0, max_utterances=16)[0]
    assert sorted(len(plan.indices) for plan in plans) == [5, 16, 16]
    assert all(len(plan.indices) <= 4 for plan in epoch_of([1.0] * 37, 4.0, max_utterances=16)[0])


def test_epochs_differ_and_seeds_repeat():
    rng = random.Random(0)
    durations = [rng.uniform(1, 9) for _ in range(200)]

    def batches(epoch, seed=0):
        return [p.indices for p in epoch_of(durations, 30.0, epoch=epoch, seed=seed)[0]]

    assert batches(1) == batches(1)
    assert batches(1) != batches(2) and batches(1) != batches(1, seed=1)
    assert set(map(frozenset, batches(1))) != set(map(frozenset, batches(2)))  # other mates, not only another order


def test_set_epoch_after_use_replans():
    sampler = BatchSampler([1.0, 2.0, 3.0, 4.0] * 10, 8.0)
    first = list(sampler)
    sampler.set_epoch(2)
    second = list(sampler)
    sampler.set_epoch(1)
    assert first == list(sampler) != second


def test_buckets_waste_little():
    rng = random.Random(0)
    durations = [rng.uniform(1, 15) for _ in range(2000)]
    plans = epoch_of(durations, 100.0)[0]
    padded = sum(max(durations[i] for i in p.indices) * len(p.indices) for p in plans)
    assert padded < 1.15 * sum(durations)


def test_evaluation_goes_from_long_to_short():
    durations = [3.0, 9.0, 1.0, 5.0]
    plans = epoch_of(durations, 1.0, shuffle=False)[0]
    assert [p.indices for p in plans] == [(1,), (3,), (0,), (2,)]


def test_fillers_hold_one_utterance_of_the_step():
    plans = epoch_of([1.0] * 5, 1.0, accumulation=2, world=2, shuffle=False)
    fillers = [p for rank in plans for p in rank if not p.weight]
    assert len(fillers) == 3
    assert all(len(p.indices) == 1 and p.step_size == 1 for p in fillers)


@pytest.fixture(name="corpus")
def _corpus(tmp_path):
    made = []
    for i, length in enumerate((800, 2400, 1600)):
        soundfile.write(tmp_path / f"{i}.flac", np.full(length, (i + 1) / 8), 16000)
        made.append(Utterance(f"u{i}", f"{i}.flac", length / 16000, "abc"[: i + 1], "", "s", "sw", "train"))
    return tmp_path, made


def test_loader(corpus):
    folder, utterances = corpus
    sampler = BatchSampler([u.duration for u in utterances], 0.3, shuffle=False)
    dataset = Utterances(utterances, folder, encode=lambda u: [ord(c) for c in u.text])
    batches = list(make_loader(dataset, sampler))
    assert [[u.id for u in b.utterances] for b in batches] == [["u1", "u2"], ["u0"]]
    first = batches[0]
    assert first.wavs.shape == (2, 2400) and first.wavs.dtype == torch.float32
    assert first.wav_lengths.tolist() == [2400, 1600] and first.wav_lengths.dtype == torch.int64
    assert first.wavs[1, :1600].unique().tolist() == [3 / 8] and first.wavs[1, 1600:].abs().max() == 0
    assert first.labels.tolist() == [[97, 98, 0], [97, 98, 99]] and first.label_lengths.tolist() == [2, 3]
    assert first.plan.indices == (1, 2) and first.to("cpu") is first


def test_weights_of_utterances(corpus):
    """They go with their utterances, also into a part of a batch; of weight 1, a mean is a mean, bit for bit."""
    folder, utterances = corpus
    heavy = [replace(u, weight=weight) for u, weight in zip(utterances, (1.0, 0.5, 2.0), strict=True)]
    plan = next(iter(BatchSampler([1.0] * 3, 10.0, shuffle=False)))
    losses = torch.tensor([0.3, 0.7, 0.11])
    assert Utterances(utterances, folder)[plan].mean(losses) == losses.mean()
    batch = Utterances(heavy, folder)[plan]
    assert batch.weights.tolist() == [1.0, 0.5, 2.0] and batch.part(1, 3).weights.tolist() == [0.5, 2.0]
    torch.testing.assert_close(batch.mean(losses), torch.tensor((0.3 + 0.35 + 0.22) / 3))


def test_loader_without_labels(corpus):
    folder, utterances = corpus
    batch = Utterances(utterances, folder)[next(iter(BatchSampler([1.0] * 3, 10.0)))]
    assert batch.labels.shape == (3, 0) and batch.label_lengths.tolist() == [0, 0, 0]


def test_workers_give_the_same(corpus):
    folder, utterances = corpus
    dataset = Utterances(utterances, folder, encode=lambda u: [1])
    sampler = BatchSampler([u.duration for u in utterances], 0.2)
    here, there = (list(make_loader(dataset, sampler, num_workers=n)) for n in (0, 1))
    assert [b.plan for b in here] == [b.plan for b in there]
    assert all(torch.equal(a.wavs, b.wavs) for a, b in zip(here, there, strict=True))


class Counted(torch.utils.data.Dataset):
    """Numbers, of which one may be broken, and which have been read."""

    def __init__(self, broken=None):
        self.broken, self.read = broken, []

    def __getitem__(self, number):
        if number == self.broken:
            raise ValueError("broken")
        self.read.append(number)
        return number


def test_reading_ahead():
    """One item further than what is used, in order, and no more once nobody asks."""
    dataset = Counted()
    items = iter(make_loader(dataset, range(1, 6)))
    assert next(items) == 1
    items.close()
    assert dataset.read == [1, 2]
    assert list(make_loader(dataset, range(1, 6))) == [1, 2, 3, 4, 5]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("reader")]


def test_what_cannot_be_read_ahead_ends_the_loop_where_it_stands():
    items = iter(make_loader(Counted(broken=3), range(1, 6)))
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(ValueError, match="broken"):
        next(items)
