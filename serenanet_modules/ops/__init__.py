"""State-space operations: one function each, with the names and meaning of mamba_ssm and causal_conv1d.

``python -m serenanet_modules.ops`` tells which backends can run here. docs/ops.md is their manual.
"""

from serenanet_modules.ops.causal_conv1d import causal_conv1d_fn, causal_conv1d_update, causal_conv1d_varlen_states
from serenanet_modules.ops.chunk_scan import mamba_chunk_scan_combined
from serenanet_modules.ops.depthwise import depthwise_conv1d
from serenanet_modules.ops.dropout import dropout
from serenanet_modules.ops.linear import linear
from serenanet_modules.ops.selective_scan import selective_scan_fn
from serenanet_modules.ops.state_update import selective_state_update

__all__ = [
    "causal_conv1d_fn",
    "causal_conv1d_update",
    "causal_conv1d_varlen_states",
    "depthwise_conv1d",
    "dropout",
    "linear",
    "mamba_chunk_scan_combined",
    "selective_scan_fn",
    "selective_state_update",
]
