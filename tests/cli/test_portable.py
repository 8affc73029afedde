"""What only POSIX has is needed by no command that uses a model: `transcribe` runs where it cannot be imported."""

import subprocess
import sys

POSIX_ONLY = ("fcntl", "grp", "pwd", "resource", "syslog", "termios", "tty", "pty", "readline", "crypt", "nis")
SCRIPT = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name in {names}:
            raise ImportError("there is no " + name)

for name in {names}:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Blocked())
from serenanet_modules.cli import main
sys.exit(main(["transcribe", *sys.argv[1:], "--format", "json"]))
"""


def test_transcribe_without_what_only_posix_has(tiny, clips):
    script = SCRIPT.replace("{names}", repr(POSIX_ONLY))
    run = subprocess.run([sys.executable, "-c", script, str(tiny[1]), str(clips[0])], capture_output=True, text=True)
    assert run.returncode == 0 and run.stdout.startswith('{"file": '), run.stderr
