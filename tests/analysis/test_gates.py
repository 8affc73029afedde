"""Gate weights by phone class, of files whose gates are known."""

import json

import numpy as np
import pytest

from serenanet_modules.analysis import gates
from serenanet_modules.analysis.folders import Result
from serenanet_modules.analysis.gates_plot import figure
from serenanet_modules.analysis.report import report
from serenanet_modules.data.phone_classes import CLASSES, phone_class
from serenanet_modules.data.phonemes import ARPABET, g2p
from serenanet_modules.errors import UserError
from tests.support.results import make_result

SOUNDS = {"a": 0, "t": 1, "s": 2, "m": 3, "l": 4, "": 5}  # a phone of each class; "" is silence
WEIGHTS = np.array([[20, 40, 195], [200, 30, 25], [120, 90, 45], [60, 130, 65], [85, 85, 85], [10, 10, 235]], np.uint8)
LENGTH = 12  # frames of a phone


def make_gates(folder, texts, shift=0, locale="xx"):
    """gates.npz of utterances in which each letter has its own sound and its class has its own weights."""
    draw, centres = np.random.default_rng(1), 3 * np.random.default_rng(2).standard_normal((len(SOUNDS), 13))
    centres[:, 0] = 4.0
    centres[SOUNDS[""], 0] = -6.0  # quiet
    gate, cepstra, told = [], [], []
    for i, text in enumerate(texts):
        path = np.repeat([SOUNDS[c] for c in ["", *text.replace(" ", ""), ""]], LENGTH)
        gate.append(WEIGHTS[path].astype(int) + np.array([shift, 0, -shift]))
        cepstra.append(centres[path] + 0.3 * draw.standard_normal((len(path), 13)))
        told.append({"id": f"u{i:03d}", "set": "dev", "locale": locale, "frames": len(path)})
    about = json.dumps({"milliseconds": [10.0, 20.0, 40.0], "utterances": told})
    arrays = {"gate": np.concatenate(gate).astype(np.uint8), "cepstra": np.concatenate(cepstra).astype(np.float16)}
    np.savez_compressed(folder / "gates.npz", about=about, **arrays)


def texts(count=12):
    draw = np.random.default_rng(3)
    return [" ".join("".join(draw.permutation([*"atsml"])) for _ in range(2)) for _ in range(count)]


def make_run(folder, seed=1, shift=0):
    said = texts()
    make_result(folder, "full", seed, {"dev": {"decoder/greedy": [1] * len(said)}})
    lines = [f"u{i:03d},3.0,{text},x" for i, text in enumerate(said)]
    (folder / "decoded_dev.csv").write_text("\n".join(["id,duration,reference,decoder/greedy", *lines]) + "\n")
    make_gates(folder, said, shift)
    return Result.read(folder)


def test_weights_of_each_class(tmp_path):
    """Means are those that each class's frames have, but for frames at the borders between phones."""
    found = gates.measure([make_run(tmp_path / "a")])
    assert found.milliseconds == [10.0, 20.0, 40.0] and found.utterances == 12
    np.testing.assert_allclose(found.means, WEIGHTS / 255, atol=0.06)
    assert (found.low <= found.means).all() and (found.means <= found.high).all()
    np.testing.assert_allclose(found.frames, [24 * LENGTH] * 6, rtol=0.15)
    value, low, high = found.contrast
    others = WEIGHTS[1:5, 2].mean() / 255
    assert low <= value <= high and value == pytest.approx(195 / 255 - others, abs=0.06) and low > 0
    assert "the gate uses it more for vowels" in found.sentence()


def test_seeds_are_pooled(tmp_path):
    """A seed whose weights are shifted by 20 of 255 shifts the mean by half of it; n stays that of one seed."""
    one = gates.measure([make_run(tmp_path / "a", 1)])
    both = gates.measure([make_run(tmp_path / "a2", 1), make_run(tmp_path / "b", 2, shift=10)])
    np.testing.assert_allclose((both.means - one.means)[:, 0], 5 / 255, atol=1e-3)
    assert (both.frames == one.frames).all() and both.utterances == 12


def test_the_interval_is_over_utterances():
    """Hand-made sums: utterances that are alike leave no doubt, and one that differs widens the interval."""
    sums = np.ones((8, 6, 3)) * [1.0, 3.0, 4.0]
    found = gates._gates([10.0, 40.0], sums, 1)
    np.testing.assert_allclose(found.high - found.low, 0, atol=1e-12)
    assert "no difference is seen" in found.sentence()
    sums[0, 0, :2] = 3.0, 1.0
    found = gates._gates([10.0, 40.0], sums, 1)
    assert found.low[0, 0] == 0.25 < found.means[0, 0] == 0.3125 < found.high[0, 0]
    sums[:, 3] = 0  # a class without frames
    found = gates._gates([10.0, 40.0], sums, 1)
    assert np.isnan(found.means[3]).all() and len(gates.table(found)) == 6
    assert len(figure(found, "full").axes[0].get_xticklabels()) == 5


def test_in_a_report(tmp_path):
    make_run(tmp_path / "runs/a")
    report([tmp_path / "runs"], tmp_path / "out")
    page = (tmp_path / "out/report.md").read_text(encoding="utf-8")
    assert "## Gates by phone class" in page and "](gates_by_class.png)" in page and "| vowel | " in page
    assert (tmp_path / "out/gates_by_class.png").is_file()
    rows = (tmp_path / "out/gates.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 1 + 6 * 3 and rows[1].startswith("full,vowel,")


def test_bars_are_the_means(tmp_path):
    found = gates.measure([make_run(tmp_path / "a")])
    panel = figure(found, "full").axes[0]
    heights = np.array([bar.get_height() for bar in panel.patches]).reshape(3, 6).T
    np.testing.assert_allclose(heights, found.means)
    assert [tick.get_text().split("\n")[0] for tick in panel.get_xticklabels()] == list(CLASSES)


def test_without_gates(tmp_path):
    folder = tmp_path / "a"
    make_result(folder, "full", 1, {"dev": {"decoder/greedy": [1] * 5}})
    assert gates.measure([Result.read(folder)]) is None


def test_without_phones_the_report_says_so(tmp_path):
    """Too few frames for the transcripts: the rest of the report is written."""
    result = make_run(tmp_path / "a")
    text = (result.folder / "decoded_dev.csv").read_text()
    (result.folder / "decoded_dev.csv").write_text(text.replace(" ", "at" * 200))
    report([result.folder], tmp_path / "out")
    page = (tmp_path / "out/report.md").read_text(encoding="utf-8")
    assert "They are left out: no transcribed utterance is long enough" in page


@pytest.mark.parametrize("spoilt", ["gate", "cepstra", "about", "empty", "cut", "noise"])
def test_a_broken_file_is_named(tmp_path, spoilt):
    result = make_run(tmp_path / "a")
    file = result.folder / "gates.npz"
    with np.load(file) as arrays:
        content = dict(arrays)
    if spoilt in content:
        content[spoilt] = "{}" if spoilt == "about" else content[spoilt][1:]
        np.savez_compressed(file, **content)
    else:
        data = file.read_bytes()
        file.write_bytes({"empty": b"", "cut": data[: len(data) // 2], "noise": data[::-1]}[spoilt])
    with pytest.raises(UserError, match=r"gates\.npz: cannot be read"):
        gates.measure([result])


def test_all_phones_of_our_languages_have_a_class():
    words = (
        "chakula ng'ombe shangwe njia mbwa dhambi ghali thelathini fedha zawadi vyote jibu yangu heri kheri kiti panya"
    )
    say = g2p("sw")
    assert {phone_class(phone) for word in words.split() for phone in say(word)} == set(CLASSES[:-1])
    assert all(phone_class(phone) for phones in ARPABET.values() for phone in phones.split())
    arpabet = {"AY": "vowel", "JH": "stop", "HH": "fricative", "NG": "nasal", "R": "sonorant", "Y": "sonorant"}
    assert {phone: phone_class(phone) for phone in arpabet} == arpabet
