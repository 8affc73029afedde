"""The Mamba block on `ops`, with the parameter names and shapes of mamba_ssm's."""

import math

import torch
from torch import nn
from torch.nn import functional

from serenanet_modules.lobes.lengths import reverse, zero_padding
from serenanet_modules.ops import causal_conv1d_fn, selective_scan_fn


class Mamba(nn.Module):
    """Selective state-space block (Gu and Dao 2023, arXiv 2312.00752).

    Parameters
    ----------
    d_model : int
        Input and output size.
    d_state : int
        State size N per channel.
    d_conv : int
        Width of the causal convolution.
    expand : int
        Inner size over ``d_model``.
    dt_min, dt_max : float
        Range of the initial step sizes.

    Examples
    --------
    >>> block = Mamba(16, d_state=4)
    >>> block(torch.randn(2, 5, 16)).shape
    torch.Size([2, 5, 16])
    """

    def __init__(self, d_model, d_state=16, d_conv=4, expand=2, dt_min=1e-3, dt_max=0.1):
        super().__init__()
        inner = expand * d_model
        self.d_state, self.dt_rank = d_state, math.ceil(d_model / 16)
        self.in_proj = nn.Linear(d_model, 2 * inner, bias=False)
        self.conv1d = nn.Conv1d(inner, inner, d_conv, groups=inner, padding=d_conv - 1)
        self.x_proj = nn.Linear(inner, self.dt_rank + 2 * d_state, bias=False)
        self.dt_proj = nn.Linear(self.dt_rank, inner)
        self.A_log = nn.Parameter(torch.arange(1.0, d_state + 1).log().repeat(inner, 1))
        self.D = nn.Parameter(torch.ones(inner))
        self.out_proj = nn.Linear(inner, d_model, bias=False)
        self._init_step_sizes(dt_min, dt_max)

    @torch.no_grad()
    def _init_step_sizes(self, dt_min, dt_max):
        """softplus(bias) spread log-uniformly over [dt_min, dt_max]."""
        scale = self.dt_rank**-0.5
        nn.init.uniform_(self.dt_proj.weight, -scale, scale)
        low, high = math.log(dt_min), math.log(dt_max)
        dt = torch.exp(torch.rand_like(self.dt_proj.bias) * (high - low) + low)
        self.dt_proj.bias.copy_(dt + torch.log(-torch.expm1(-dt)))

    def forward(self, x):
        """x (B, T, d_model) -> (B, T, d_model); causal, so padding after an utterance is harmless."""
        u, z = self.in_proj(x).transpose(1, 2).chunk(2, dim=1)  # each (B, inner, T)
        u = causal_conv1d_fn(u, self.conv1d.weight.squeeze(1), self.conv1d.bias, activation="silu")
        dt, B, C = self.x_proj(u.transpose(1, 2)).split([self.dt_rank, self.d_state, self.d_state], dim=-1)
        y = selective_scan_fn(
            u,
            functional.linear(dt, self.dt_proj.weight).transpose(1, 2),
            -torch.exp(self.A_log.float()),
            B.transpose(1, 2),
            C.transpose(1, 2),
            self.D,
            z=z,
            delta_bias=self.dt_proj.bias,
            delta_softplus=True,
        )
        return self.out_proj(y.transpose(1, 2))


class BidirectionalMamba(nn.Module):
    """One `Mamba` forwards, one over each utterance reversed within its own length; outputs are added.

    Examples
    --------
    >>> block = BidirectionalMamba(16, d_state=4)
    >>> block(torch.randn(2, 5, 16), torch.tensor([5, 3])).shape
    torch.Size([2, 5, 16])
    """

    def __init__(self, d_model, **sizes):
        super().__init__()
        self.forwards = Mamba(d_model, **sizes)
        self.backwards = Mamba(d_model, **sizes)

    def forward(self, x, lengths):
        """x (B, T, d_model), lengths (B,) -> (B, T, d_model), zeros past each length."""
        x = zero_padding(x, lengths)
        y = self.forwards(x) + reverse(self.backwards(reverse(x, lengths)), lengths)
        return zero_padding(y, lengths)
