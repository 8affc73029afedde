"""A copy of an ONNX file whose matrix products with weights are in 8 bits, row by row.

onnxruntime scales what is multiplied by the largest value of the whole tensor, so that a loud mate, or what stands in
the padding, changes how an utterance is rounded. Here each frame has a scale of its own: a frame's product is a
function of that frame.
"""

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from serenanet_modules.export.onnx_file import quietly

ZERO = 128  # of unsigned bytes, which stand for -127 to 127
LEAST = 1e-30  # the largest value of a row of zeros counts as this
CONSTANTS = {
    "row_axis": np.array([-1]),
    "row_least": np.float32(LEAST),
    "row_steps": np.float32(127),
    "row_one": np.float32(1),
    "row_zero": np.uint8(ZERO),
}


def quantise(path, to):
    """Write a copy whose matrix products with weights are in 8 bits, a scale for each output and each frame.

    Weights are unsigned: on x86 processors without VNNI products with signed ones overflow. Scans, convolutions and the
    features stay as they are.

    Parameters
    ----------
    path, to : Path
    """
    with quietly():
        quantize_dynamic(
            path,
            to,
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            weight_type=QuantType.QUInt8,
            extra_options={"MatMulConstBOnly": True},
        )
    model = onnx.load(to)
    _by_row(model.graph)
    onnx.save(model, to)


def _by_row(graph):
    """Put scales of rows in the place of scales of tensors."""
    graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in CONSTANTS.items())
    found, rows, zeros, products = [], set(), set(), {}
    for node in list(graph.node):
        if node.op_type == "DynamicQuantizeLinear":
            quantised, scale, zero = node.output
            rows.add(scale)
            zeros.add(zero)
            found += _row_quantised(node.input[0], quantised, scale)
        elif node.op_type == "Mul" and node.input[0] in rows:  # a row's scale by the weights'
            products[node.output[0]] = tuple(node.input)
        elif node.op_type == "Mul" and node.input[1] in products:
            # one after the other: onnxruntime's fusion takes their product for one number
            found += _scaled(node, *products[node.input[1]])
        else:
            for i, name in enumerate(node.input):
                node.input[i] = "row_zero" if name in zeros else name
            found.append(node)
    del graph.node[:]
    graph.node.extend(found)


def _row_quantised(x, quantised, scale):
    """Nodes from x (..., K) to bytes (..., K) and scales (..., 1)."""
    size, largest, steps = f"{x}_size", f"{x}_largest", f"{x}_steps"
    return [
        helper.make_node("Abs", [x], [size]),
        helper.make_node("ReduceMax", [size, "row_axis"], [largest], keepdims=1),
        helper.make_node("Max", [largest, "row_least"], [f"{largest}_of_row"]),
        helper.make_node("Div", [f"{largest}_of_row", "row_steps"], [scale]),
        helper.make_node("Div", [x, scale], [steps]),
        helper.make_node("QuantizeLinear", [steps, "row_one", "row_zero"], [quantised]),
    ]


def _scaled(node, of_row, of_weights):
    """The product of sums (..., N) with the scales of weights (N,), then with those of rows (..., 1)."""
    between = f"{node.output[0]}_of_weights"
    return [
        helper.make_node("Mul", [node.input[0], of_weights], [between]),
        helper.make_node("Mul", [between, of_row], list(node.output)),
    ]
