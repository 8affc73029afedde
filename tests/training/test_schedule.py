"""The learning rate as a function of the step."""

import math

import pytest

from serenanet_modules.training.schedule import WarmupCosine


def test_the_first_step_is_low():
    assert WarmupCosine(peak=1e-3, warmup_steps=1000)(1, 0.0) == pytest.approx(1e-6)


def test_warm_up_is_linear():
    rate = WarmupCosine(peak=2.0, warmup_steps=100)
    assert [rate(step, 0.0) for step in (25, 50, 100, 101)] == pytest.approx([0.5, 1.0, 2.0, 2.0])


def test_cosine_ends_at_its_final_share():
    rate = WarmupCosine(peak=2.0, warmup_steps=10, final_share=0.1)
    assert rate(1000, 1.0) == pytest.approx(0.2)
    assert rate(1000, 0.5) == pytest.approx(2 * (0.1 + 0.9 / 2))
    assert rate(1000, 0.25) == pytest.approx(2 * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi / 4))))
    assert rate(1000, 1.5) == rate(1000, 1.0)  # never up again


def test_rises_then_falls():
    rate = WarmupCosine(peak=1.0, warmup_steps=20)
    rates = [rate(step, step / 200) for step in range(1, 201)]
    top = rates.index(max(rates))
    assert 15 <= top <= 20
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert min(rates) > 0


def test_no_warm_up():
    assert WarmupCosine(peak=1.0, warmup_steps=0)(1, 0.0) == pytest.approx(1.0)
