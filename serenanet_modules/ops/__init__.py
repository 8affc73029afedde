"""State-space operations: one function each, with the names and meaning of mamba_ssm and causal_conv1d."""

from serenanet_modules.ops.causal_conv1d import causal_conv1d_fn
from serenanet_modules.ops.selective_scan import selective_scan_fn

__all__ = ["causal_conv1d_fn", "selective_scan_fn"]
