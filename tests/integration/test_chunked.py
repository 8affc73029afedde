"""H-Mamba through the whole job: chunks are learned, counted and shown."""

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from serenanet_modules.inference.recognizer import Recognizer
from tests.support.presets import preset
from tests.support.tiny import Run, command, decoded, heard

MODEL = """
    --d_model 32 --frontend.channels [8,4] --pessl null --n_mels 40 --features.n_fft 512
    --encoder.outer.n_layers 1 --encoder.outer.d_ffn 64 --encoder.outer.kernel_size 5
    --encoder.inner.n_layers 1 --encoder.inner.d_ffn 64 --encoder.inner.kernel_size 5
""".split()


@pytest.fixture(scope="module", params=["frames", "chunks"])
def run(request, corpus, tmp_path_factory):
    """A whole job of two epochs, whose CTC head reads frames or chunks."""
    folder = tmp_path_factory.mktemp(f"chunked_{request.param}") / "run"
    more = ("--number_of_epochs", 2, "--encoder.read", request.param)
    return Run(command(corpus, folder, *more, hparams=preset("hmamba/small"), model=MODEL), folder).done()


def test_chunks_are_counted(run):
    """For each split in result.json, as often as the loss in TensorBoard."""
    counted = run.result["chunks"]
    assert set(counted) == {"dev", "test"}
    for split in counted.values():
        assert 0 < split["boundary_rate"] <= 1
        assert split["boundary_rate"] * split["compression"] == pytest.approx(1, abs=0.01)
    events = EventAccumulator(str(run.folder / "tensorboard")).Reload()
    names = ("loss", "ratio_loss", "boundary_rate", "compression")
    loss, ratio_loss, rate, compression = ([p.value for p in events.Scalars(f"train/{name}")] for name in names)
    assert len(loss) == len(ratio_loss) == len(rate) == len(compression) > 0
    assert all(0 < value <= 1 for value in rate) and all(value >= 1 for value in compression)


def test_what_is_shown_is_what_was_counted(run):
    """The examples' boundaries are as dense as those of dev, of which they are two."""
    content = np.load(run.folder / "examples.npz")
    for i in range(2):
        starts = content[f"start_{i}"]
        assert starts[0] == 1 and len(content[f"chunk_{i}"]) == len(starts)
        assert starts.mean() == pytest.approx(run.result["chunks"]["dev"]["boundary_rate"], abs=0.2)


def test_the_folder_transcribes(run, corpus):
    """What the evaluation read from the test clips."""
    rows = decoded(run.folder, "test")
    recognizer = Recognizer.from_folder(run.folder)
    texts = [transcript.text for transcript in recognizer.transcribe(heard(corpus, run.folder, rows))]
    assert texts == [row["decoder/greedy"] for row in rows]
