"""Strangers' annotation files: what is dangerous, huge or broken is one sentence, soon, and reads nothing else."""

import random
from functools import partial

import pytest

from serenanet_modules.data.annotations import formats, opening
from tests.support.annotated import samples
from tests.support.eaf import eaf, tier
from tests.support.refusals import refusal, refused_or

ERRORS = 60  # a format
BOMB = "<!DOCTYPE x [" + '<!ENTITY a0 "ha">' + "".join(
    f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10)
) + "]>\n"  # fmt: skip
THEFT = '<!DOCTYPE x [<!ENTITY a9 SYSTEM "file:///etc/hostname">]>\n'


@pytest.mark.parametrize("head", [BOMB, THEFT])
def test_entities_are_refused(tmp_path, head):
    path = eaf(tmp_path / "a.eaf", tier("A", ("a1", "&a9;", 1, 2)), slots=[0, 1], head=head)
    assert "defines entities" in refusal(lambda: formats.read(path), path)


def test_what_is_huge_is_refused_before_it_is_held(tmp_path, monkeypatch):
    """A million time slots, elements inside each other without end, more bytes than any annotation needs."""
    path = eaf(tmp_path / "a.eaf", slots=[0] * 3000)
    monkeypatch.setattr(opening, "MOST_ITEMS", 2500)
    assert "more than 2500 elements" in refusal(lambda: formats.read(path), path)
    path.write_text("<ANNOTATION_DOCUMENT>" + "<a>" * 200)
    assert "100 elements inside each other" in refusal(lambda: formats.read(path), path)
    monkeypatch.setattr(opening, "MOST_BYTES", 2**20)
    path.write_bytes(b" " * (2**20 + 1))
    assert "larger than 1 MiB" in refusal(lambda: formats.read(path), path)


def test_what_is_cut_off_is_said_to_be(tmp_path):
    """Wherever a file ends too early, it says so, and what to do; other faults of XML are not taken for that."""
    whole = {path.suffix: (path, path.read_bytes()) for path in samples(tmp_path) if path.is_file()}
    path, data = whole[".eaf"]
    for end in range(data.index(b"<ANNOTATION_DOCUMENT") + 1, len(data.rstrip()) - 1, 97):
        path.write_bytes(data[:end])
        assert "seems cut off; save it again in the program that made it" in refusal(lambda: formats.read(path), path)
    path.write_bytes(data.replace(b"</TIER>", b"", 1))
    told = refusal(lambda: formats.read(path), path)
    assert "cut off" not in told and "save it again" in told
    path, data = whole[".TextGrid"]
    path.write_bytes(data[: len(data) // 2])
    assert "seems cut off; save it again" in refusal(lambda: formats.read(path), path)


def test_files_with_random_errors_are_read_or_refused(tmp_path):
    """Bytes changed, parts doubled, the end cut off: in every format, no error but a `UserError`."""
    rng = random.Random(0)
    assert {formats.reader(path) for path in samples(tmp_path)} >= set(formats.READERS)
    for path in samples(tmp_path):
        file = path / "segments" if path.is_dir() else path
        data = file.read_bytes()
        for _ in range(ERRORS):
            file.write_bytes(spoilt(data, rng))
            refused_or(partial(formats.read, path), path.parent)


def spoilt(data, rng):
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        a, b = sorted(rng.choices(range(len(changed) + 1), k=2))
        kind = rng.randrange(4)
        if kind == 0:
            changed[a : a + 1] = bytes([rng.randrange(256)])
        elif kind == 1:
            changed[a:a] = changed[a : min(b, a + 50)]
        elif kind == 2:
            del changed[a : min(b, a + 50)]
        else:
            changed = changed[:b] or bytearray(b"<")
    return bytes(changed)
