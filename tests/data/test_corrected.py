"""What is corrected is kept apart from dev and test by what it sounds like, whatever files are called."""

import shutil
import tracemalloc
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from serenanet_modules.data import corrected
from serenanet_modules.data.copies import sound_of
from serenanet_modules.data.corrected import FEW, NEW, OLD
from serenanet_modules.data.manifest import Candidate, role
from serenanet_modules.data.preparation import Settings
from serenanet_modules.errors import UserError

RATE = 16000


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Forty recordings of two seconds of noise, each of a sound of its own."""
    folder, rng = tmp_path_factory.mktemp("noise"), np.random.default_rng(0)
    paths = [folder / f"{i:02d}.wav" for i in range(40)]
    for path in paths:
        soundfile.write(path, 0.1 * rng.standard_normal(2 * RATE), RATE, subtype="PCM_16")
    return paths


def said(paths, split="train", name=""):
    return [Candidate(f"{name}{path.stem}", path, "habari", "", "sw", split) for path in paths]


def sets(pool):
    return {
        name: {c.path.name for c in pool.candidates if c.split == name} for name in {c.split for c in pool.candidates}
    }


def test_roles(recordings):
    """A tenth of the recordings chooses, another measures, whatever order and ids they come with."""
    pool = corrected.pool(said(recordings), [], 1.0, 1)
    found = sets(pool)
    assert set(found) == {"train", f"dev-{NEW}", f"test-{NEW}"} and sum(map(len, found.values())) == 40
    assert all(1 <= len(found[f"{name}-{NEW}"]) <= 10 for name in ("dev", "test"))
    assert sets(corrected.pool(said(recordings[::-1], name="x"), [], 1.0, 2)) == found
    assert pool.seconds == {
        "train": 2.0 * len(found["train"]),
        "dev": 2.0 * len(found[f"dev-{NEW}"]),
        "test": 2.0 * len(found[f"test-{NEW}"]),
        OLD: 0.0,
    }


def test_more_recordings_move_none(recordings):
    """What is held out of some recordings is so of these and others."""
    few, all_of_them = (sets(corrected.pool(said(paths), [], 1.0, 1)) for paths in (recordings[:30], recordings))
    own = {path.name for path in recordings[:30]}
    assert few[f"test-{NEW}"] <= all_of_them[f"test-{NEW}"]
    assert few["train"] >= all_of_them["train"] & own


def test_what_dev_and_test_have_is_not_learned(recordings, tmp_path):
    """A copy under another name, of another format, is the same recording."""
    copy, other = tmp_path / "another name.flac", tmp_path / "copied.wav"
    soundfile.write(copy, *soundfile.read(recordings[0]), subtype="PCM_16")
    shutil.copy(recordings[1], other)
    old = [*said([recordings[0]], "dev", "old-"), *said([recordings[1]], "test", "old-")]
    pool = corrected.pool(said([copy, other, *recordings[2:20]]), old, 1.0, 1)
    assert sum(pool.left_out.values()) == 2
    assert not {copy, other} & {c.path for c in pool.candidates}


def test_hours_are_read_in_blocks(tmp_path):
    """Far less than a recording's samples is in memory when it is told from others."""
    path, samples = tmp_path / "long.wav", np.tile(np.linspace(-0.1, 0.1, RATE, dtype="float32"), 600)
    soundfile.write(path, samples, RATE, subtype="PCM_16")
    tracemalloc.start()
    sound_of(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 0.4 * samples.nbytes


def test_of_few_recordings_utterances_are_held_out(recordings):
    """An interview alone is enough: its utterances are told apart."""
    (first,) = said(recordings[:1])
    parts = [replace(first, id=str(i), start=i / 10, end=i / 10 + 0.1) for i in range(20)]
    pool = corrected.pool(parts, [], 1.0, 1)
    assert {role(c.split) for c in pool.candidates} == {"train", "dev", "test"}
    whole = [replace(c, start=0.0, end=None) for c in said(recordings[:FEW])]
    assert len(sets(corrected.pool(whole, [], 1.0, 1))) == 3


def test_old_speech(recordings, monkeypatch):
    """Of train so many seconds, never too few; of dev one half to choose by, one to measure; never of test."""
    new, train, dev, test = (recordings[i : i + 10] for i in range(0, 40, 10))
    old = [*said(train, name="a"), *said(dev, "dev", "b"), *said(test, "test", "c")]
    assert corrected.pool(said(new), old, 0.5, 1).seconds[OLD] == 20  # all that there is
    monkeypatch.setattr(corrected, "LEAST_OLD", 0.0)
    pool = corrected.pool(said(new), old, 0.5, 1)
    mixed = [c for c in pool.candidates if c.split == "train" and c.path in train]
    assert 2 * len(mixed) == pool.seconds[OLD] and 0 <= pool.seconds[OLD] - 0.5 * pool.seconds["train"] < 2
    found = sets(pool)
    halves = found[f"dev-{OLD}"], found[f"test-{OLD}"]
    assert halves[0] | halves[1] == {path.name for path in dev} and not halves[0] & halves[1] and all(halves)
    assert not {c.path for c in pool.candidates} & set(test)
    assert corrected.pool(said(new), old, 0, 1).seconds[OLD] == 0


def test_ids_are_told_apart(recordings):
    """Corrected and old utterances may have the same ids."""
    pool = corrected.pool(said(recordings[:10]), said(recordings[10:20], name="0"), 9.0, 1)
    again = corrected.pool(
        said(recordings[:10]), [replace(c, path=recordings[30]) for c in said(recordings[:10])], 9.0, 1
    )
    for found in (pool, again):
        assert max(Counter(c.id for c in found.candidates).values()) == 1


def test_what_cannot_be_heard_takes_no_place(recordings, tmp_path):
    """Missing and broken recordings are in no set; what is only too long to learn from may measure."""
    broken, settings = tmp_path / "broken.wav", Settings()
    broken.write_bytes(recordings[0].read_bytes()[:40])
    lost = said([broken, *(tmp_path / f"{i}.wav" for i in range(3))], name="lost-")
    judged = corrected.judge([*lost, *said(recordings[:3])], settings)
    pool = corrected.pool(judged.usable, [], 1.0, 1, judged)
    assert {name: len(found) for name, found in sets(pool).items()} == {f"dev-{NEW}": 1, f"test-{NEW}": 1, "train": 1}
    assert pool.left_out["missing"] == 3 and pool.left_out.total() == 4
    judged = corrected.judge(said(recordings[:20]), replace(settings, max_duration=1.0))
    with pytest.raises(UserError, match=r"utterances are too few .*left out: \d+ too long"):
        corrected.pool(judged.usable, [], 1.0, 1, judged)


def test_where_no_recording_is_there(tmp_path):
    """One sentence that names the folder and what was looked for in it."""
    lost = said([tmp_path / "heard" / "talk1.wav", tmp_path / "heard" / "talk2.wav"])
    told = f"none of the 2 corrected recordings is in {tmp_path}; give the folder that holds talk1.wav"
    with pytest.raises(UserError, match=f"^{told} with --audio-folder$"):
        corrected.judge(lost, Settings(), tmp_path)
    with pytest.raises(UserError, match="^the corrected recording is not there; give the folder that holds talk1.wav"):
        corrected.judge(lost[:1], Settings())


def test_too_little(recordings):
    """One or two sentences cannot teach and measure; the error says what was left out."""
    with pytest.raises(UserError, match="^1 corrected utterance is too few "):
        corrected.pool(said(recordings[:1]), [], 1.0, 1)
    with pytest.raises(UserError, match="2 corrected utterances are too few .*left out: nothing"):
        corrected.pool(said(recordings[:2]), [], 1.0, 1)
