"""A result says where it comes from."""

import subprocess
from importlib import metadata

from serenanet_modules.runtime import provenance


def test_says_what_ran():
    """Command, versions and hardware are all there, and nothing is empty."""
    found = provenance.provenance()
    assert found.keys() >= {"command", "commit", "python", "packages", "platform", "processor", "threads", "processes"}
    assert set(found["packages"]) == set(provenance.PACKAGES)
    assert found["command"].startswith("python ") and found["processor"]
    assert provenance.device_name("cpu") == "cpu"


def test_commit_tells_a_changed_checkout(tmp_path, monkeypatch):
    """A clean checkout gives its commit, a changed one the same with a plus, no checkout nothing."""
    package = tmp_path / "package"
    package.mkdir()
    (package / "a.py").write_text("a = 1\n")
    monkeypatch.setattr(provenance, "__file__", str(package / "provenance.py"))
    assert provenance.commit() is None
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "a"]):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    clean = provenance.commit()
    assert len(clean) == 40
    (package / "a.py").write_text("a = 2\n")
    assert provenance.commit() == clean + "+"


def test_the_environment_names_every_package():
    lines = provenance.environment().splitlines()
    assert lines[0].startswith("Python 3.") and f"torch=={metadata.version('torch')}" in lines and len(lines) > 50
