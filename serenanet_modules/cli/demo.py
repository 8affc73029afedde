"""``serenanet demo`` and ``make demo``: the main job on the embedded corpus, as a user would run it."""

import csv
import os
import shlex
import subprocess
import sys
from pathlib import Path

from serenanet_modules.errors import UserError
from serenanet_modules.runtime.files import read_json

TRAIN = "recipes/CommonVoice/sw/train.py"
HPARAMS = ("hparams/serenanet.yaml", "hparams/sizes/serenanet/demo.yaml")
CORPUS = "tests/sample/CommonVoice/sw"
COMMAND = (TRAIN, *HPARAMS, "--data_folder", CORPUS)
CHECKOUT = Path(__file__).parents[2]


def add(commands, name):
    command = commands.add_parser(name, help="train, evaluate and transcribe on the embedded corpus")
    command.set_defaults(run=_demo)


def _demo(_):
    run()
    return 0


def run(root=CHECKOUT):
    """Train, evaluate, transcribe one clip, and print a short summary.

    A finished run is not trained again.

    Parameters
    ----------
    root : Path
        The checkout.

    Raises
    ------
    UserError
        Outside a checkout, and when the training fails.
    """
    missing = [part for part in (TRAIN, *HPARAMS, CORPUS) if not (root / part).exists()]
    if missing:
        raise UserError(f"{root}: has no {missing[0]}; the demo runs in a checkout of SerenaNet")
    os.chdir(root)
    folder = _result_folder()
    if (folder / "result.json").is_file():
        print(f"{folder} holds a finished run, which goes on only where it had fewer epochs (delete it to start anew)")
    _train()
    result = read_json(folder / "result.json")
    print(f"\n{_transcription(folder)}\n\n{summary(result)}")


def _result_folder():
    """Where the run's results go, by its hyper-parameters."""
    from serenanet_modules.training.experiment import Experiment

    return Experiment.from_command_line(Path(TRAIN).parent, COMMAND[1:]).folder


def _train():
    """The main job in a process of its own, which Ctrl-C reaches too: it is waited for, for it saves what it has."""
    print("$", shlex.join(["python", *COMMAND]), flush=True)
    interrupted = None
    with subprocess.Popen([sys.executable, *COMMAND]) as training:
        while training.poll() is None:
            try:
                training.wait()
            except KeyboardInterrupt as error:
                interrupted = error
    if interrupted:
        raise interrupted
    if training.returncode:
        raise UserError(f"the training ended with status {training.returncode}; what is printed above says why")


def _transcription(folder):
    """What the model hears in the first test clip."""
    from serenanet_modules.data.text import normaliser
    from serenanet_modules.inference.recognizer import Recognizer

    with open(Path(CORPUS) / "test.tsv", encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    clip = Path(CORPUS) / "clips" / row["path"]
    recognizer = Recognizer.from_folder(folder)
    text = recognizer.transcribe([clip])[0].text
    command = shlex.join(["serenanet", "transcribe", str(folder), str(clip)])
    reference = normaliser(recognizer.settings["locale"])(row["sentence"])
    return f"$ {command}\n{text}\nreference: {reference}"


def summary(result):
    """The test set's error rates in a sentence and what they cost, for people.

    Parameters
    ----------
    result : dict
        The content of result.json.

    Examples
    --------
    >>> rates = {"WER": {"percent": 20.0}, "CER": {"percent": 5.04}}
    >>> print(summary({
    ...     "scoring": "car", "results": {"test": {"car/greedy": rates}},
    ...     "parameters": {"total": 1_234_567}, "seconds": {"training": 123.4, "evaluation": 5.6}}))
    On test 20.0 % of the words and 5.0 % of the letters are wrong (greedy).
    1.23 M parameters, trained in 123 s, evaluated in 6 s
    """
    from serenanet_modules.runs.results import in_words  # brings torch

    seconds, parameters = result["seconds"], result["parameters"]["total"] / 1e6
    trained, evaluated = seconds["training"], seconds["evaluation"]
    cost = f"{parameters:.2f} M parameters, trained in {trained:.0f} s, evaluated in {evaluated:.0f} s"
    return f"{in_words(result)}\n{cost}"
