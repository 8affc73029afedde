"""Write a network as ONNX, and run the file."""

import contextlib
import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from serenanet_modules.export.onnx_ops import OPSET, TRANSLATIONS

DYNAMIC = torch.export.Dim.DYNAMIC
AXES = {"audio": ("batch", "samples"), "lengths": ("batch",), "log_probs": ("batch", "frames"), "frames": ("batch",)}


def write(network, example, outputs, path, metadata, fixed=False):
    """Convert a network of audio (B, S) and, if it takes them, lengths (B,); or any with fixed shapes.

    Parameters
    ----------
    network : Module
        Its arguments are called audio and lengths.
    example : dict of str to Tensor
        Arguments, two utterances at least.
    outputs : list of str
        Names of what it returns, of `AXES`.
    path : Path
    metadata : dict of str to str
        Becomes the model's ``metadata_props``.
    fixed : bool
        Whether shapes are those of the example alone.
    """
    open_axes = {name: {axis: DYNAMIC for axis in range(value.dim())} for name, value in example.items()}
    shapes = None if fixed else open_axes
    with torch.no_grad(), quietly():
        program = torch.export.export(
            network, (), example, dynamic_shapes=shapes, prefer_deferred_runtime_asserts_over_guards=True
        )
        _drop_side_effects(program.graph_module)
        converted = torch.onnx.export(
            program,
            custom_translation_table=TRANSLATIONS,
            opset_version=OPSET,
            input_names=list(example),
            output_names=outputs,
            external_data=False,
            verbose=False,
        )
    model = converted.model_proto
    if not fixed:
        _name_axes(model.graph)
    onnx.helper.set_model_props(model, metadata)
    onnx.save(model, path)


class OnnxFile:
    """Runs a written file on the CPU, with as many threads as torch.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        options.add_session_config_entry("session.force_spinning_stop", "1")  # idle threads leave the cores to others
        self._session = onnxruntime.InferenceSession(Path(path), options, ["CPUExecutionProvider"])
        self._inputs = [value.name for value in self._session.get_inputs()]

    def __call__(self, audio, lengths):
        """audio (B, S) float32, lengths (B,) int64, arrays -> log-probabilities (B, T, V), frames (B,)."""
        given = {"audio": audio, "lengths": lengths}
        log_probs, *frames = self._session.run(None, {name: given[name] for name in self._inputs})
        return log_probs, frames[0] if frames else np.full(len(log_probs), log_probs.shape[1])


def _drop_side_effects(module):
    """Remove checks of shapes and the losses that nothing reads."""
    for node in list(module.graph.nodes):
        if node.op == "call_function" and "_assert" in str(node.target):
            module.graph.erase_node(node)
    module.graph.eliminate_dead_code()
    module.recompile()


def _name_axes(graph):
    del graph.value_info[:]  # in terms of the names that the tracer gave
    for value in (*graph.input, *graph.output):
        for dimension, name in zip(value.type.tensor_type.shape.dim, AXES[value.name], strict=False):
            dimension.dim_param = name


@contextlib.contextmanager
def quietly():
    """Silence remarks on what a tracer leaves out, which is what it should leave out."""
    levels = {name: logging.getLogger(name).level for name in ("torch.onnx", "torch.export", "root")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for name in levels:
                logging.getLogger(name).setLevel(logging.ERROR)
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
