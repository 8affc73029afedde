"""The Mamba-2 block on `ops`, interchangeable with mamba_ssm's."""

import torch
from torch import nn
from torch.nn import functional

from serenanet_modules.lobes.blocks.layers import Linear
from serenanet_modules.lobes.blocks.mamba import at_least_float32, step_size_biases
from serenanet_modules.lobes.blocks.streaming import Recurrent
from serenanet_modules.ops import causal_conv1d_fn, mamba_chunk_scan_combined


class RMSNorm(nn.Module):
    """Root mean square normalisation with an optional gate, as mamba_ssm's ``layernorm_gated.RMSNorm``.

    Parameters
    ----------
    hidden_size : int
        Features.
    eps : float
        Added to the mean square.
    group_size : int, optional
        Features that are normalised together; by default all.
    norm_before_gate : bool
        Whether the gate multiplies the normalised features, or what is normalised.

    Examples
    --------
    >>> RMSNorm(2)(torch.tensor([3.0, -3.0])).round(decimals=3)
    tensor([ 1., -1.], grad_fn=<RoundBackward1>)
    """

    def __init__(self, hidden_size, eps=1e-5, group_size=None, norm_before_gate=True, device=None, dtype=None):
        super().__init__()
        self.eps, self.group_size, self.norm_before_gate = eps, group_size or hidden_size, norm_before_gate
        self.weight = nn.Parameter(torch.ones(hidden_size, device=device, dtype=dtype))

    def forward(self, x, z=None):
        """x, z (..., hidden_size) -> the same shape in the dtype of x; computed in float32 at least."""
        y = at_least_float32(x)
        gate = None if z is None else functional.silu(z.to(y.dtype))
        if gate is not None and not self.norm_before_gate:
            y = y * gate
        groups = y.unflatten(-1, (-1, self.group_size))
        scale = torch.rsqrt(groups.square().mean(-1, keepdim=True) + self.eps)
        y = (groups * scale).flatten(-2) * self.weight.to(y.dtype)
        if gate is not None and self.norm_before_gate:
            y = y * gate
        return y.to(x.dtype)


class Mamba2(Recurrent, nn.Module):
    """State-space duality block (Dao and Gu 2024, arXiv 2405.21060).

    Constructor, parameter names and shapes are those of mamba_ssm's ``Mamba2``: a state dict of either loads into the
    other.

    Parameters
    ----------
    d_model : int
        Input and output size.
    d_state : int
        State size N per channel.
    d_conv : int
        Width of the causal convolution.
    conv_init : float, optional
        Bound of the convolution's initial weights; torch's default without it.
    expand : int
        Inner size over ``d_model``.
    headdim : int
        Channels of a head; ``d_ssm`` must be a multiple of it.
    d_ssm : int, optional
        Channels of the state-space model, by default all inner ones; the rest is a gated linear unit beside it.
    ngroups : int
        Groups of heads that share input and output projections of the state; ``d_ssm`` must be a multiple of it.
    A_init_range : (float, float)
        Range of the initial decay rates.
    D_has_hdim : bool
        Whether the skip weight is one per channel, not one per head.
    rmsnorm : bool
        Whether the output is normalised, group by group, and not only gated.
    norm_before_gate : bool
        Whether the gate comes after the normalisation.
    dt_min, dt_max, dt_init_floor : float
        Range of the initial step sizes, and the least of them.
    dt_limit : (float, float)
        Range into which step sizes are clamped.
    bias, conv_bias : bool
        Whether the projections, and the convolution, have a bias.
    chunk_size : int
        Steps that a backend of the scan may treat at once.
    use_mem_eff_path, layer_idx, sequence_parallel
        Without effect; mamba_ssm's configurations hold them.
    process_group
        Must be None: there is no tensor parallelism here.
    device, dtype
        Of the parameters; ``D`` is float32 whatever ``dtype`` says.

    Examples
    --------
    >>> block = Mamba2(16, d_state=8, headdim=8)
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
        d_state=128,
        d_conv=4,
        conv_init=None,
        expand=2,
        headdim=64,
        d_ssm=None,
        ngroups=1,
        A_init_range=(1, 16),
        D_has_hdim=False,
        rmsnorm=True,
        norm_before_gate=False,
        dt_min=1e-3,
        dt_max=0.1,
        dt_init_floor=1e-4,
        dt_limit=(0.0, float("inf")),
        bias=False,
        conv_bias=True,
        chunk_size=256,
        use_mem_eff_path=True,
        layer_idx=None,
        process_group=None,
        sequence_parallel=True,
        device=None,
        dtype=None,
    ):
        super().__init__()
        made = {"device": device, "dtype": dtype}
        inner = int(expand * d_model)
        self.d_state, self.d_conv, self.headdim, self.ngroups = d_state, d_conv, headdim, ngroups
        self.d_ssm = inner if d_ssm is None else d_ssm
        self._check(inner, A_init_range, process_group)
        self.nheads, self.d_mlp = self.d_ssm // headdim, inner - self.d_ssm
        self.D_has_hdim, self.rmsnorm = D_has_hdim, rmsnorm
        self.dt_limit, self.chunk_size = tuple(dt_limit), chunk_size
        convolved = self.d_ssm + 2 * ngroups * d_state
        self.parts = [self.d_mlp, self.d_mlp, self.d_ssm, convolved, self.nheads]  # of the first projection
        self.in_proj = Linear(d_model, sum(self.parts), bias=bias, **made)
        self.conv1d = nn.Conv1d(
            convolved, convolved, d_conv, groups=convolved, padding=d_conv - 1, bias=conv_bias, **made
        )
        if conv_init is not None:
            nn.init.uniform_(self.conv1d.weight, -conv_init, conv_init)
        self._init_recurrence(A_init_range, (dt_min, dt_max, dt_init_floor), made)
        if rmsnorm:
            group = self.d_ssm // ngroups
            self.norm = RMSNorm(self.d_ssm, group_size=group, norm_before_gate=norm_before_gate, **made)
        self.out_proj = Linear(inner, d_model, bias=bias, **made)

    def _init_recurrence(self, A_init_range, step_sizes, made):
        self.dt_bias = nn.Parameter(step_size_biases(torch.rand(self.nheads, **made), *step_sizes))
        rates = torch.empty(self.nheads, device=made["device"], dtype=torch.float32).uniform_(*A_init_range)
        self.A_log = nn.Parameter(rates.log().to(dtype=made["dtype"]))
        self.D = nn.Parameter(torch.ones(self.d_ssm if self.D_has_hdim else self.nheads, device=made["device"]))
        for parameter in (self.dt_bias, self.A_log, self.D):
            parameter._no_weight_decay = True  # optimizers made for mamba_ssm look for it

    def _check(self, inner, A_init_range, process_group):
        if process_group is not None:
            raise ValueError("process_group must be None: there is no tensor parallelism here.")
        if not 0 < self.d_ssm <= inner:
            raise ValueError(f"d_ssm is {self.d_ssm}; it must be within 1 and the inner size, {inner}.")
        for name, divisor in (("headdim", self.headdim), ("ngroups", self.ngroups)):
            if self.d_ssm % divisor:
                raise ValueError(f"{name} is {divisor}; it must divide the {self.d_ssm} state-space channels.")
        if self.d_ssm // self.headdim % self.ngroups:
            raise ValueError(f"ngroups is {self.ngroups}; it must divide the {self.d_ssm // self.headdim} heads.")
        if not 0 < A_init_range[0] <= A_init_range[1]:
            raise ValueError(f"A_init_range is {A_init_range}; it must be two positive numbers in order.")

    def forward(self, x, seq_idx=None):
        """x (B, T, d_model) -> (B, T, d_model); causal, so padding after an utterance is harmless.

        ``seq_idx`` (B, T) int32 numbers the utterances that a row consists of: the block starts anew with each.
        """
        return self._run(x, None, None, seq_idx)[0]

    def init_state(self, batch):
        """What `step` carries, before the first frame: the convolution's last inputs (B, d_ssm + 2 G N, d_conv - 1) and
        the state of the recurrence (B, H, P, N), zeros."""
        weight = self.in_proj.weight
        window = weight.new_zeros(batch, self.conv1d.in_channels, self.d_conv - 1)
        state = weight.new_zeros(batch, self.nheads, self.headdim, self.d_state)
        return window, at_least_float32(state)

    def _run(self, x, window, state, seq_idx=None):
        streaming = state is not None
        z_mlp, x_mlp, z, u, dt = self.in_proj(x).split(self.parts, dim=-1)
        u = causal_conv1d_fn(
            u.transpose(1, 2),
            self.conv1d.weight.squeeze(1),
            self.conv1d.bias,
            seq_idx=seq_idx,
            initial_states=window,
            return_final_states=streaming,
            activation="silu",
        )
        if streaming:
            u, window = u
        y = self._scan(u.transpose(1, 2), dt, z, state, seq_idx)
        if streaming:
            y, state = y
        y = y.flatten(2)  # (B, T, d_ssm)
        if self.rmsnorm:
            y = self.norm(y, z)
        if self.d_mlp:
            y = torch.cat([functional.silu(z_mlp) * x_mlp, y], dim=-1)
        return self.out_proj(y), (window, state)

    def _scan(self, u, dt, z, state, seq_idx):
        """u (B, T, d_ssm + 2 G N) -> (B, T, H, P); with a state also the next one."""
        states = self.ngroups * self.d_state
        x, B, C = u.split([self.d_ssm, states, states], dim=-1)
        heads, groups = (self.nheads, self.headdim), (self.ngroups, self.d_state)
        return mamba_chunk_scan_combined(
            x.unflatten(-1, heads),
            dt,
            -torch.exp(at_least_float32(self.A_log)),
            B.unflatten(-1, groups),
            C.unflatten(-1, groups),
            self.chunk_size,
            D=self.D.view(heads) if self.D_has_hdim else self.D,
            z=None if self.rmsnorm else z.unflatten(-1, heads),
            dt_bias=self.dt_bias,
            dt_softplus=True,
            dt_limit=self.dt_limit,
            initial_states=state,
            seq_idx=seq_idx,
            return_final_states=state is not None,
        )
