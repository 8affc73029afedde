"""Says at the end how many hostile inputs there were."""

from tests.support.battery import COUNTS


def pytest_terminal_summary(terminalreporter):
    if COUNTS:
        told = ", ".join(f"{count} {name}" for name, count in sorted(COUNTS.items()))
        terminalreporter.write_line(f"hostile inputs: {sum(COUNTS.values())} ({told})")
