"""The Mamba block on `ops`, interchangeable with mamba_ssm's, and a wrapper that reads both ways."""

import math

import torch
from torch import nn

from serenanet_modules.lobes.blocks.layers import Linear
from serenanet_modules.lobes.blocks.lengths import padded, reverse, zero_padding
from serenanet_modules.lobes.blocks.streaming import CannotStream, Recurrent
from serenanet_modules.ops import causal_conv1d_fn, linear, selective_scan_fn


class Mamba(Recurrent, nn.Module):
    """Selective state-space block (Gu and Dao 2023, arXiv 2312.00752).

    Constructor, parameter names and shapes are those of mamba_ssm's ``Mamba``: a state dict of either loads into the
    other.

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
    dt_rank : int or "auto"
        Rank of the step sizes' projection; by default a sixteenth of ``d_model``, rounded up.
    dt_min, dt_max, dt_init_floor : float
        Range of the initial step sizes, and the least of them.
    dt_init : {"random", "constant"}
        Initial weights of the step sizes' projection.
    dt_scale : float
        Factor on those weights.
    conv_bias, bias : bool
        Whether the convolution, and the first and last projection, have a bias.
    use_fast_path, layer_idx
        Without effect; mamba_ssm's configurations hold them.
    device, dtype
        Of the parameters; ``A_log`` and ``D`` are float32 whatever ``dtype`` says.

    Examples
    --------
    >>> block = Mamba(16, d_state=4)
    >>> x = torch.randn(2, 5, 16)
    >>> y = block(x)
    >>> y.shape
    torch.Size([2, 5, 16])

    The same in pieces:

    >>> state = block.init_state(2)
    >>> first, state = block.step(x[:, :1], state)
    >>> rest, state = block.step(x[:, 1:], state)
    >>> torch.allclose(torch.cat([first, rest], dim=1), y, atol=1e-5)
    True
    """

    def __init__(
        self,
        d_model,
        d_state=16,
        d_conv=4,
        expand=2,
        dt_rank="auto",
        dt_min=1e-3,
        dt_max=0.1,
        dt_init="random",
        dt_scale=1.0,
        dt_init_floor=1e-4,
        conv_bias=True,
        bias=False,
        use_fast_path=True,
        layer_idx=None,
        device=None,
        dtype=None,
    ):
        super().__init__()
        made = {"device": device, "dtype": dtype}
        inner = int(expand * d_model)
        self.d_state, self.d_conv, self.d_inner = d_state, d_conv, inner
        self.dt_rank = math.ceil(d_model / 16) if dt_rank == "auto" else dt_rank
        self.in_proj = Linear(d_model, 2 * inner, bias=bias, **made)
        self.conv1d = nn.Conv1d(inner, inner, d_conv, groups=inner, padding=d_conv - 1, bias=conv_bias, **made)
        self.x_proj = Linear(inner, self.dt_rank + 2 * d_state, bias=False, **made)
        self.dt_proj = Linear(self.dt_rank, inner, **made)
        self.A_log = nn.Parameter(torch.arange(1.0, d_state + 1, device=device).log().repeat(inner, 1))
        self.D = nn.Parameter(torch.ones(inner, device=device))
        self.out_proj = Linear(inner, d_model, bias=bias, **made)
        self._init_step_sizes(dt_min, dt_max, dt_init, dt_scale * self.dt_rank**-0.5, dt_init_floor)
        self.A_log._no_weight_decay = self.D._no_weight_decay = True  # optimizers made for mamba_ssm look for these
        self.dt_proj.bias._no_reinit = True

    @torch.no_grad()
    def _init_step_sizes(self, dt_min, dt_max, dt_init, scale, floor):
        if dt_init == "constant":
            nn.init.constant_(self.dt_proj.weight, scale)
        elif dt_init == "random":
            nn.init.uniform_(self.dt_proj.weight, -scale, scale)
        else:
            raise ValueError(f"dt_init is {dt_init!r}; it must be 'random' or 'constant'.")
        uniform = torch.rand_like(self.dt_proj.bias)
        self.dt_proj.bias.copy_(step_size_biases(uniform, dt_min, dt_max, floor))

    def forward(self, x):
        """x (B, T, d_model) -> (B, T, d_model); causal, so padding after an utterance is harmless."""
        return self._run(x, None, None)[0]

    def init_state(self, batch):
        """What `step` carries, before the first frame: the convolution's last inputs (B, inner, d_conv - 1) and the
        state of the recurrence (B, inner, d_state), zeros."""
        weight = self.in_proj.weight
        window = weight.new_zeros(batch, self.d_inner, self.d_conv - 1)
        return window, at_least_float32(weight.new_zeros(batch, self.d_inner, self.d_state))

    def _run(self, x, window, state):
        u, z = self.in_proj(x).transpose(1, 2).chunk(2, dim=1)  # each (B, inner, T)
        y, state = self.mix(u, z, window, state)
        return self.out_proj(y.transpose(1, 2)), state

    def mix(self, u, z, window=None, state=None):
        """Convolution and scan, what stands between the projections.

        Parameters
        ----------
        u, z : Tensor
            The two halves of the first projection, (B, inner, T) each.
        window, state : Tensor, optional
            From `init_state`, both or neither.

        Returns
        -------
        (Tensor, tuple)
            y (B, inner, T), gated; and window and state after these frames, None without the given ones.
        """
        streaming = state is not None
        u = causal_conv1d_fn(
            u,
            self.conv1d.weight.squeeze(1),
            self.conv1d.bias,
            initial_states=window,
            return_final_states=streaming,
            activation="silu",
        )
        if streaming:
            u, window = u
        dt, B, C = self.x_proj(u.transpose(1, 2)).split([self.dt_rank, self.d_state, self.d_state], dim=-1)
        y = selective_scan_fn(
            u,
            linear(dt, self.dt_proj.weight).transpose(1, 2),
            -torch.exp(at_least_float32(self.A_log)),
            B.transpose(1, 2),
            C.transpose(1, 2),
            self.D,
            z=z,
            delta_bias=self.dt_proj.bias,
            delta_softplus=True,
            return_last_state=streaming,
            initial_state=state,
        )
        if streaming:
            y, state = y
        return y, (window, state)


def at_least_float32(x):
    """The recurrence's parameters and states in float32, whatever the model's type; float64 stays."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def step_size_biases(uniform, dt_min, dt_max, floor):
    """Biases whose softplus is spread log-uniformly over [dt_min, dt_max], from numbers uniform over [0, 1)."""
    low, high = math.log(dt_min), math.log(dt_max)
    dt = torch.exp(uniform * (high - low) + low).clamp(min=floor)
    return dt + torch.log(-torch.expm1(-dt))


class BiMamba(Mamba):
    """Bidirectional Mamba with one pair of projections (ConMamba; Jiang et al. 2024, arXiv 2407.09732).

    Gate, first and last projection serve both directions; convolution and scan are each direction's own. The backward
    direction reads each utterance reversed within its own length, and the mean of both goes through ``out_proj``.
    Parameters are those of `Mamba`, for the backward direction below ``backwards``.

    Examples
    --------
    >>> block = BiMamba(16, d_state=4)
    >>> block(torch.randn(2, 5, 16), torch.tensor([5, 3])).shape
    torch.Size([2, 5, 16])
    """

    def __init__(self, d_model, **options):
        super().__init__(d_model, **options)
        self.backwards = Mamba(d_model, **options)
        del self.backwards.in_proj, self.backwards.out_proj

    def forward(self, x, lengths):
        """x (B, T, d_model), lengths (B,) or None -> (B, T, d_model), zeros past each length; x is not read there."""
        lengths = padded(x, lengths)
        projected = self.in_proj(zero_padding(x, lengths))  # (B, T, 2 inner)
        y, other = (
            block.mix(*both.transpose(1, 2).chunk(2, dim=1))[0].transpose(1, 2)
            for block, both in ((self, projected), (self.backwards, reverse(projected, lengths)))
        )
        return zero_padding(self.out_proj(0.5 * (y + reverse(other, lengths))), lengths)

    def init_state(self, batch):
        """Raises `CannotStream`: a block that reads backwards cannot go on frame by frame."""
        raise CannotStream("a bidirectional block cannot stream")


class Bidirectional(nn.Module):
    """One block forwards, one over each utterance reversed within its own length; outputs are added.

    Parameters
    ----------
    block : callable
        Makes a causal block (B, T, d_model) -> (B, T, d_model), such as `Mamba` or ``Mamba2`` of the module mamba2.

    Examples
    --------
    >>> block = Bidirectional(lambda: Mamba(16, d_state=4))
    >>> block(torch.randn(2, 5, 16), torch.tensor([5, 3])).shape
    torch.Size([2, 5, 16])
    """

    def __init__(self, block):
        super().__init__()
        self.forwards, self.backwards = block(), block()

    def forward(self, x, lengths):
        """x (B, T, d_model), lengths (B,) or None -> (B, T, d_model), zeros past each length; x is not read there."""
        lengths = padded(x, lengths)
        x = zero_padding(x, lengths)
        backwards = reverse(self.backwards(reverse(x, lengths)), lengths)
        return zero_padding(self.forwards(x) + backwards, lengths)
