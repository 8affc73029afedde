"""torch's layers on the operations of `ops`: the same parameters and meaning, less time on a CPU."""

from torch import nn

from serenanet_modules.ops import dropout, linear


class Linear(nn.Linear):
    """`torch.nn.Linear` by `ops.linear`."""

    def forward(self, x):
        """x (..., in_features) -> (..., out_features)."""
        return linear(x, self.weight, self.bias)


class Dropout(nn.Dropout):
    """`torch.nn.Dropout` by `ops.dropout`."""

    def forward(self, x):
        """Any shape."""
        return dropout(x, self.p) if self.training else x
