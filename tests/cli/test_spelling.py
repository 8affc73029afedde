"""Options with hyphens and with underscores, of every command; and what asks for help or a version."""

from pathlib import Path

import pytest

import serenanet_modules
from serenanet_modules import cli
from serenanet_modules.cli.values import switch
from serenanet_modules.errors import UserError
from tests.support.tiny import ROOT

COMMANDS = cli._parser()._subparsers._group_actions[0].choices
ALL = [(command, action) for command, parser in COMMANDS.items() for action in parser._actions]
OPTIONS = [
    (command, action) for command, action in ALL if any("-" in name.lstrip("-") for name in action.option_strings)
]


def test_some_options_have_several_words():
    assert {("evaluate", "data_folder"), ("transcribe", "batch_seconds"), ("ablate", "dry_run")} <= {
        (command, action.dest) for command, action in OPTIONS
    }


def words_for(action):
    """A value on the command line for an argument, other than its default."""
    if action.type is switch:
        return ["false"] if action.default else []
    if action.nargs == 0:
        return []
    return [next(str(choice) for choice in action.choices or (3, 4) if choice != action.default)]


@pytest.mark.parametrize("joined", ["=", " "])
@pytest.mark.parametrize(("command", "action"), OPTIONS, ids=lambda x: getattr(x, "dest", x))
def test_both_spellings(command, action, joined):
    """They give the same, also as ``--option=value``; all options are written with hyphens in the help."""
    (name,) = action.option_strings
    assert "_" not in name
    found = []
    for spelled in (name, "--" + name[2:].replace("-", "_")):
        given = [spelled, *words_for(action)]
        given = ["=".join(given)] if joined == "=" else given
        others = [a for a in COMMANDS[command]._actions if a is not action and a.required]
        options = [word for a in others if a.option_strings for word in (a.option_strings[0], *words_for(a))]
        needed = [word for a in others if not a.option_strings for word in words_for(a)]
        parsed, more = cli._parser().parse_known_args([command, *needed, *options, *given])
        assert not more
        found.append(getattr(parsed, action.dest))
    assert found[0] == found[1] != action.default


SWITCHES = [(command, action.option_strings[0], action.default) for command, action in ALL if action.type is switch]


@pytest.mark.parametrize(("command", "name", "default"), SWITCHES)
def test_switches(command, name, default):
    """Bare or with a value in any spelling; any other next word stays what it was, and a last value counts."""
    required = [action for action in COMMANDS[command]._actions if action.required]
    needed = [word for a in required if a.option_strings for word in (a.option_strings[0], *words_for(a))]
    places = ["place" for action in required if not action.option_strings]

    def read(*words):
        parsed = vars(cli._parser().parse_args([command, *needed, *words, *places]))
        first = next((a.dest for a in required if not a.option_strings), None)
        assert first is None or str(parsed[first]) in ("place", str(["place"]), str([Path("place")]))
        return parsed[name[2:].replace("-", "_")]

    assert read() is default and read(name) is True and read(name[:-1] if len(name) > 6 else name) is True
    for word, is_on in {"True": True, "yes": True, "ON": True, "false": False, "No": False, "off": False}.items():
        assert read(name, word) is read(f"{name}={word}") is read(name, name, word) is is_on
    with pytest.raises(UserError, match="must be true or false, not maybe"):
        read(f"{name}=maybe")


def test_what_follows_two_hyphens_is_left_alone():
    line = ["ablate", "--recipe", "r", "--suite", "s", "--dry_run", "--", "--dry_run", "x"]
    parsed = cli._parser().parse_args(line)
    assert parsed.dry_run and parsed.arguments == ["--dry_run", "x"]


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"serenanet {serenanet_modules.__version__}\n"


def test_every_command_has_help():
    for command, parser in COMMANDS.items():
        assert parser.format_help().startswith(f"usage: serenanet {command}")


@pytest.mark.parametrize(("words", "status"), [(["--help"], 0), (["hparams/serenanet.yaml", "-h"], 0), ([], 2)])
def test_help_of_a_training(words, status, capsys, monkeypatch):
    """``serenanet train RECIPE --help`` is train.py's: its usage, the recipe's own options, keys and run options."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", ["serenanet"])
    assert cli.main(["train", "recipes/Custom", *words]) == status
    out = capsys.readouterr().out
    assert out.startswith("usage: recipes/Custom/train.py FILE")
    for option in ("--split_seed", "--data_folder", "--max_batch_seconds", "--noprogressbar"):
        assert f"  {option} " in out
