import pytest
import torch

from serenanet_modules.decoding.greedy import Greedy, collapse, greedy, greedy_with_frames
from serenanet_modules.decoding.rows import Outputs, Row
from tests.support.fake_units import pieces


def one_hot(paths, size=4):
    return torch.nn.functional.one_hot(torch.tensor(paths), size).float().log()


@pytest.mark.parametrize(
    ("path", "units", "frames"),
    [
        ([], [], []),
        ([0, 0, 0], [], []),
        ([1, 1, 1], [1], [0]),
        ([1, 0, 1], [1, 1], [0, 2]),
        ([0, 2, 2, 1, 1, 0, 2], [2, 1, 2], [1, 3, 6]),
    ],
)
def test_collapse(path, units, frames):
    assert collapse(path) == (units, frames)


def test_other_blank():
    assert collapse([3, 0, 0, 3, 0], blank_id=3) == ([0, 0], [1, 4])


def test_frames_past_a_length_are_not_read():
    log_probs = one_hot([[1, 2, 3, 3], [1, 1, 0, 1], [2, 2, 2, 2]])
    lengths = torch.tensor([2, 4, 0])
    assert greedy(log_probs, lengths) == [[1, 2], [1, 1], []]
    assert greedy_with_frames(log_probs, lengths)[1] == ([1, 1], [0, 3])


def test_batch_equals_single():
    log_probs = torch.randn(5, 30, 6, generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([30, 17, 1, 29, 8])
    single = [greedy(log_probs[i : i + 1, :n], torch.tensor([n]))[0] for i, n in enumerate(lengths)]
    assert greedy(log_probs, lengths) == single


@pytest.mark.parametrize("sizes", [[40], [1] * 40, [3, 0, 30, 7]])
def test_stream_equals_whole(sizes):
    """Labels, their first frames, and the mean posterior of the frames that say each."""
    log_probs = (3 * torch.randn(40, 4, generator=torch.Generator().manual_seed(0))).log_softmax(-1)
    decoder = Greedy(pieces())
    stream = decoder.stream()
    for piece in log_probs.split(sizes):
        stream.add(Outputs({"decoder": piece.unsqueeze(0)}))
    whole = Outputs({"decoder": log_probs.unsqueeze(0)})
    assert [stream.hypothesis] == decoder.decode(whole, torch.tensor([40])) and stream.hypothesis.text
    ((units, frames),) = greedy_with_frames(log_probs.unsqueeze(0), torch.tensor([40]))
    assert ([run.unit for run in stream.runs], [run.start for run in stream.runs]) == (units, frames)
    assert stream.frames == 40
    best = log_probs.argmax(-1)
    for run in stream.runs:
        assert (best[run.start : run.end] == run.unit).all() and (run.end == 40 or best[run.end] != run.unit)
        assert run.confidence == pytest.approx(log_probs[run.start : run.end, run.unit].exp().mean().item())


def test_each_scoring_has_a_decoder():
    """It reads its own log-probabilities, in a batch and row by row, and says its name."""
    ones, twos = one_hot([[1, 0, 1, 0]]), one_hot([[1, 2, 0, 2]])
    outputs = Outputs({"decoder": ones, "car": twos})
    for scoring, text, log_probs in (("decoder", "a a", ones), ("car", "abb", twos)):
        decoder = Greedy(pieces(), scoring)
        (found,) = decoder.decode(outputs, torch.tensor([4]))
        assert (decoder.name, found.text) == (f"{scoring}/greedy", text)
        assert decoder.decode_rows([Row(1.0, log_probs[0], None)]) == [found]
