"""A step of a stream as a file: in steps it is the model offline, for each look-ahead."""

import json

import onnx
import pytest

from serenanet_modules.errors import UserError
from serenanet_modules.export import command, stream
from serenanet_modules.export.command import export_step

pytestmark = pytest.mark.slow  # an export is


STEPS = [(family, look_ahead) for family in ("fast-conformer-streaming", "ssm") for look_ahead in (240, 0)]


@pytest.fixture(scope="module", params=STEPS, ids=lambda step: f"{step[0]}-{step[1]}")
def written(request, exports, tmp_path_factory):
    """A file, the model whose step it is, and the look-ahead."""
    lines, (family, look_ahead) = [], request.param
    path = tmp_path_factory.mktemp("step")
    path = export_step(exports.folder(family), look_ahead, path, lines.append)
    return path, exports.opened(family).modules["model"], look_ahead, lines


def test_steps_are_the_model(written):
    path, model, look_ahead, (line,) = written
    assert stream.difference(stream.Steps(path), model, look_ahead, (0.01, 0.32, 2.0, 9.9)) < 3e-4  # nats, of tens
    assert "model.step.onnx: " in line and "largest difference from the model" in line


def test_shapes_are_fixed_and_said(written):
    path, _, look_ahead, _ = written
    graph = onnx.load(path).graph
    onnx.checker.check_model(onnx.load(path), full_check=True)
    assert all(d.dim_value for value in (*graph.input, *graph.output) for d in value.type.tensor_type.shape.dim)
    assert {node.domain for node in graph.node} <= {"", "ai.onnx"}
    facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert facts["chunk_frames"] == look_ahead // 80 + 1 and "n_mels=40" in facts["features"]


def test_a_file_that_differs_is_not_written(exports, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "TOLERANCE", 0.0)
    with pytest.raises(UserError, match="differs from the model by"):
        export_step(exports.folder("fast-conformer-streaming"), 0, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("family", "look_ahead", "words"),
    [
        ("conmamba", None, "needs a model with look_aheads"),
        ("fast-conformer", None, "needs a model with"),
        ("fast-conformer-streaming", 160, "160 ms .* it has 240, 0; give one of these"),
    ],
)
def test_what_has_no_step_is_refused(exports, family, look_ahead, words, tmp_path):
    with pytest.raises(UserError, match=words):
        export_step(exports.folder(family), look_ahead, tmp_path)
