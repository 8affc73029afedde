"""Files of long tests come first, so that several workers end together."""

import pytest

LONG = ("slurm", "slow", "trains")


@pytest.hookimpl(trylast=True)  # `trains` is set by then
def pytest_collection_modifyitems(items):
    long = {item.path for item in items if any(map(item.get_closest_marker, LONG))}
    items.sort(key=lambda item: item.path not in long)
