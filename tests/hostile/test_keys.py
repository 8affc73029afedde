"""Every key and every argument of a part, with values that cannot be; yaml that stands for more than it says."""

import functools
import math
import tempfile
from pathlib import Path

import pytest
from hypothesis import strategies as st

from serenanet_modules.config import keys, reading
from serenanet_modules.config.hparams import Hparams
from serenanet_modules.config.keys import ARGUMENTS, KEYS, NUMBER, WHOLE
from serenanet_modules.config.settings import check_parts, check_values
from tests.support.battery import all_hold, is_found
from tests.support.refusals import refused_or, sentence

WILD = st.one_of(
    st.sampled_from([".nan", ".inf", "-.inf", "1e400", "-1e400", "0", "-1", "-0.5", "1e300", "9" * 27, "-" + "9" * 27]),
    st.integers(300, 6000).map("9".__mul__),
    st.integers(-(10**30), 10**30).map(str),
    st.floats(allow_nan=False).map(repr),
    st.sampled_from(["[]", "{}", "null", "true", "'x'", "[.nan]", "[[1]]", "2024-01-01", "0x10", "1_000"]),
)


NUMERIC = [name for name, key in KEYS.items() if key.kind in (WHOLE, NUMBER) and "." not in name]
NAMES = NUMERIC + [f"part.{name}" for name in ARGUMENTS]


@functools.cache
def document():
    """A file with every numeric key, null, and a part with every argument."""
    folder = Path(tempfile.mkdtemp())
    lines = [f"{name}: null" for name in NUMERIC]
    lines += ["part: !name:torch.nn.Linear", *(f"    {name}: null" for name in ARGUMENTS)]
    (folder / "x.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "x.yaml"


VALUES = st.tuples(st.sampled_from(NAMES), WILD)


def bounded(case):
    """What is let pass is finite and within the bounds of the table; all else is one sentence that names the key."""
    name, text = case

    def read():
        hparams = Hparams.load(document()).override([(name, text)])
        plain = hparams.plain()
        check_values({key: value for key, value in plain.items() if key == name}, "x.yaml")
        check_parts(hparams, "x.yaml")
        return plain[name] if "." not in name else dict(hparams.arguments()).get(name)

    value = refused_or(read)
    for one in value if isinstance(value, list) else [value]:
        key = KEYS.get(name) or ARGUMENTS[name.rpartition(".")[2]]
        assert one is None or (math.isfinite(one) and abs(one) <= keys.LARGEST)
        assert one is None or key.least is None or one >= key.least
        assert one is None or key.most is None or one <= key.most
    assert value != []


def test_values():
    all_hold("values of keys", VALUES, bounded)


TOWERS = st.tuples(st.integers(2, 9), st.integers(1, 12), st.booleans(), st.booleans())


def no_tower(case):
    """Aliases of aliases, and circles, are refused, or are as small as they look."""
    width, height, circle, mapping = case
    lines = ["a0: &a0 [x]"]
    for i in range(1, height + 1):
        parts = [f"*a{i - 1}"] * width
        inner = "{" + ", ".join(f"k{n}: {part}" for n, part in enumerate(parts)) + "}" if mapping else str(parts)
        lines.append(f"a{i}: &a{i} {inner}".replace("'", ""))
    if circle:
        lines.append("c: &c [*c]")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "x.yaml"
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        try:
            found = Hparams.load(file)
        except reading.UserError as error:
            sentence(error, file)
            assert circle or width**height > 1000
        else:
            assert not circle and width**height <= reading.MOST_NODES and found.told()


def test_aliases():
    all_hold("aliases", TOWERS, no_tower)


@pytest.mark.parametrize(
    ("place", "name", "fault", "strategy", "check"),
    [
        (keys.Key, "_wrong", lambda self, value: None, VALUES, bounded),
        (keys, "LARGEST", 10**29, VALUES, bounded),
        (reading, "_check_size", lambda *_: 1, TOWERS.filter(lambda case: case[2] and case[1] < 3), no_tower),
    ],
    ids=["bounds", "largest", "aliases"],
)
def test_planted_faults(monkeypatch, place, name, fault, strategy, check):
    if name == "LARGEST":  # what holds must hold for the true bound
        monkeypatch.setattr(keys.Key, "_wrong", lambda self, value: None if abs(value) < fault else self.kind)
    else:
        monkeypatch.setattr(place, name, fault)
    assert is_found(strategy, check)
