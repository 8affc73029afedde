"""What a training shows beside its table: its own words alone, and at the end where it is and what to do next."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from serenanet_modules.cli import COMMANDS
from serenanet_modules.training.screen import next_steps
from tests.support.tiny import ROOT

LIBRARY = """
import logging, warnings

def say():
    logging.getLogger(__name__).warning("a library's warning")
    warnings.warn("a library's Python warning")
    logging.getLogger(__name__).error("a library's error")
"""
RECIPE = """
import logging, sys
import speechbrain as sb
import library
from serenanet_modules.training.screen import own_words_only

with own_words_only():
    sb.core.create_experiment_directory(sys.argv[1], save_env_desc=False)
logging.getLogger(__name__).info("our message")
library.say()
"""


def test_what_libraries_say_goes_to_the_log(tmp_path):
    """Warnings of other packages are in log.txt alone; their errors and our own messages are on the screen too."""
    others = tmp_path / "site-packages"
    others.mkdir()
    (others / "library.py").write_text(LIBRARY)
    (tmp_path / "recipe.py").write_text(RECIPE)
    environment = os.environ | {"PYTHONPATH": f"{others}{os.pathsep}{ROOT}"}
    command = [sys.executable, tmp_path / "recipe.py", tmp_path / "run"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout + done.stderr).splitlines() == ["our message", "a library's error"]
    told = (tmp_path / "run/log.txt").read_text()
    assert all(words in told for words in ("our message", "a library's warning", "Python warning", "library's error"))


@pytest.mark.parametrize("recognises", [True, False])
def test_a_training_ends_with_places_and_two_commands(recognises):
    """The result folder, its model card, and two commands that can be given as they stand but for a file's name."""
    said = next_steps(Path("results/my model/1"), recognises, "On test all is right.")
    assert ("On test all is right." in said) and "results     results/my model/1\n" in said
    assert "model card  results/my model/1/README.md\n" in said
    commands = said.partition("\nnext\n")[2].splitlines()
    assert len(commands) == 2 and all("'results/my model/1" in command for command in commands)
    assert {name for name in re.findall(r"serenanet (\S+)", said)} <= set(COMMANDS)
    assert ("serenanet transcribe" in said) == recognises
