"""Generated hostile inputs: how many of each kind, how they are counted, and whether a fault in the code is found.

``make test`` has a few of each kind, ``make hostile`` many: the variable SERENANET_HOSTILE says how many.
"""

import os
from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, given, settings

CASES = int(os.environ.get("SERENANET_HOSTILE", "8"))
PLANTED = 60  # cases in which a planted fault must show
COUNTS = Counter()  # cases that ran, by kind


def all_hold(name, strategy, check, cases=CASES):
    """Call ``check`` with so many cases of a strategy, the same ones each time, and count them."""

    @_settings(cases, [Phase.explicit, Phase.generate, Phase.shrink])
    @given(strategy)
    def run(case):
        COUNTS[name] += 1
        check(case)

    run()


def is_found(strategy, check):
    """Whether one of some cases fails, as it must where the code has a fault."""

    @_settings(PLANTED, [Phase.generate])
    @given(strategy)
    def run(case):
        check(case)

    try:
        run()
    except (Exception, pytest.fail.Exception):
        return True
    return False


def _settings(cases, phases):
    return settings(
        max_examples=cases,
        phases=phases,
        database=None,
        derandomize=True,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
