"""Masks stay inside utterances, leave enough of them, and repeat with the seed."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from speechbrain.augment.time_domain import SpeedPerturb

from serenanet_modules.data.augment import SpecAugment, change_speed

NO_BANDS = {"freq_masks": 0}
NO_TIME = {"time_masks": 0, "frames_per_mask": 10**9}


def masked(lengths, seed=0, bins=80, total=None, **options):
    """What becomes of ones (B, T, F)."""
    torch.manual_seed(seed)
    return SpecAugment(**options)(torch.ones(len(lengths), total or max(lengths), bins), torch.tensor(lengths))


def runs(row):
    """Lengths of the zero runs of a 1-D tensor."""
    found, current = [], 0
    for value in [*row.tolist(), 1.0]:
        if value == 0:
            current += 1
        elif current:
            found.append(current)
            current = 0
    return found


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 900), min_size=1, max_size=5), st.integers(0, 99), st.integers(0, 50))
def test_time_masks_stay_inside_each_length(lengths, seed, extra):
    y = masked(lengths, seed, bins=3, total=max(lengths) + extra, **NO_BANDS)
    for row, length in zip(y, lengths, strict=True):
        assert (row[length:] == 1).all()
        assert (row == row[:, :1]).all()  # whole frames


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3000), st.integers(0, 99))
def test_no_utterance_loses_too_much(length, seed):
    hidden = (masked([length], seed, bins=1, **NO_BANDS) == 0).sum().item()
    masks = max(2, length // 400)
    assert hidden <= masks * min(100, int(length * 0.15))
    assert hidden <= 0.3 * length or length >= 1200


@pytest.mark.parametrize("seed", range(20))
def test_one_mask_is_one_run_within_its_width(seed):
    y = masked([1000, 1000], seed, time_masks=1, frames_per_mask=10**9, freq_masks=1)
    for row in y:
        assert all(n <= 100 for n in runs(row.amax(1))) and len(runs(row.amax(1))) <= 1
        assert all(n <= 27 for n in runs(row.amax(0))) and len(runs(row.amax(0))) <= 1


def test_widths_take_every_value():
    widths = {sum(runs(row[:, 0])) for row in masked([100] * 600, time_masks=1, time_width=5, **NO_BANDS)}
    assert widths == set(range(6))
    bands = {sum(runs(row[0])) for row in masked([2] * 600, freq_masks=1, freq_width=4, **NO_TIME)}
    assert bands == set(range(5))


def test_masks_reach_both_ends():
    y = masked([20] * 400, bins=20, max_share=1.0, time_width=10)
    assert (y[:, 0].amax(1) == 0).any() and (y[:, -1].amax(1) == 0).any()
    assert (y[:, :, 0].amax(1) == 0).any() and (y[:, :, -1].amax(1) == 0).any()


def test_longer_utterances_get_more_masks():
    y = masked([400, 4000], time_width=5, **NO_BANDS)
    assert len(runs(y[0, :, 0])) <= 2 < len(runs(y[1, :, 0])) <= 10


def test_utterances_are_masked_independently():
    y = masked([200] * 8)
    assert len({tuple(row.flatten().tolist()) for row in y}) > 6


def test_values_are_kept_and_the_input_is_not_written_to():
    x = torch.randn(3, 100, 80)
    copy = x.clone()
    y = SpecAugment()(x, torch.tensor([100, 70, 1]))
    assert torch.equal(x, copy) and ((y == x) | (y == 0)).all()


def test_seeded():
    assert torch.equal(masked([300, 200], seed=5), masked([300, 200], seed=5))
    assert not torch.equal(masked([300, 200], seed=5), masked([300, 200], seed=6))


def test_nothing_to_do():
    assert (masked([50, 20], **(NO_BANDS | NO_TIME)) == 1).all()
    assert (masked([1, 2], **NO_BANDS) == 1).all()  # too short for any mask


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 40_000), min_size=1, max_size=4), st.sampled_from([90, 95, 100, 110]), st.integers(0, 99)
)
def test_a_change_of_speed_gives_each_utterance_its_own_length(lengths, speed, extra):
    """Samples too are those that it has alone, whatever its mates and the padding."""
    perturb = SpeedPerturb(16000, [speed])
    wavs = torch.full((len(lengths), max(lengths) + extra), float("nan"))
    for row, n in zip(wavs, lengths, strict=True):
        row[:n] = torch.randn(n, generator=torch.Generator().manual_seed(n))
    together, found = change_speed(perturb, wavs, torch.tensor(lengths))
    for row, changed, n, length in zip(wavs, together, lengths, found.tolist(), strict=True):
        alone = perturb(row[None, :n])[0]
        assert len(alone) == length
        assert torch.equal(changed[:length], alone)
