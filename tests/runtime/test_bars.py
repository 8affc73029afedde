"""Progress bars are for terminals."""

import os
import pty
import subprocess
import sys
import termios

import pytest

from tests.support.tiny import ROOT

SHOWS = "from serenanet_modules.runtime import bars; OFF; list(bars.Bar(range(3), desc='reading'))"


@pytest.mark.parametrize(
    ("terminal", "asked", "off", "shown"),
    [
        (False, None, False, False),
        (False, "1", False, True),
        (False, "1", True, False),
        (True, None, False, True),
        (True, "0", False, False),
        (True, None, True, False),
    ],
)
def test_where_bars_are_shown(terminal, asked, off, shown):
    """In no file and no pipe unless asked for, and nowhere where they are turned off."""
    ours, theirs = pty.openpty() if terminal else os.pipe()
    if terminal:
        termios.tcsetwinsize(ours, (24, 80))
    environment = {name: value for name, value in os.environ.items() if name != "SERENANET_BARS"}
    environment |= {"SERENANET_BARS": asked} if asked else {}
    code = SHOWS.replace("OFF", "bars.turn_off()" if off else "pass")
    subprocess.run([sys.executable, "-c", code], stderr=theirs, check=True, cwd=ROOT, env=environment)
    os.write(theirs, b".")
    assert (b"reading" in os.read(ours, 4096)) == shown


def test_there_is_one_way_to_show_them():
    found = [path.name for path in (ROOT / "serenanet_modules").rglob("*.py") if "import tqdm" in path.read_text()]
    assert found == ["bars.py"]
