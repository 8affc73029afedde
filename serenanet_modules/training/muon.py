"""An optimizer that learns in fewer steps: Muon for matrices, AdamW for all else."""

import functools
import inspect

import torch

from serenanet_modules.runtime.sharding import is_part, spread

QUINTIC = 3.4445, -4.7750, 2.0315  # a x + b x³ + c x⁵ takes singular values of 0.01 to 1 near 1 in five steps (Jordan)
RMS = 0.2  # of AdamW's updates, about, and with this of a matrix's (Liu et al.)

_adamw_step = inspect.unwrap(torch.optim.AdamW.step)  # whose wrappers import the compiler


class Muon(torch.optim.AdamW):
    """AdamW whose updates of matrices are orthogonalised momentum (Jordan et al. 2024, Liu et al. 2025).

    An update of a matrix moves all of its directions alike, however the gradient's strengths differ. Matrices are the
    parameters of two dimensions in groups that are not ``elementwise``; all else is left to AdamW. Unlike
    `torch.optim.Muon` it takes matrices of one shape at once, and bfloat16 only where the device multiplies it: others
    need ten times as long for it.

    Sources: https://kellerjordan.github.io/posts/muon/ and arXiv 2502.16982.

    Parameters
    ----------
    params : iterable of dict
        As of `torch.optim.AdamW`.
    lr : float
    matrix_rate : float
        Times ``lr``, for matrices.
    momentum : float
        Of matrices, as Nesterov has it.
    iterations : int
        Of Newton and Schulz, in each step.
    **adamw
        Of `torch.optim.AdamW`; ``weight_decay`` is of matrices too, with their rate ``lr``.

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.eye(3))
    >>> optimizer = Muon([weight], lr=0.1, matrix_rate=1.0, weight_decay=0.1)
    >>> weight.grad = torch.diag(torch.tensor([100.0, 1.0, 10.0]))
    >>> optimizer.step()
    >>> bool((weight.diagonal() < 0.98).all()), bool((weight - torch.diag(weight.diagonal()) == 0).all())
    (True, True)
    """

    def __init__(self, params, lr, matrix_rate=2.0, momentum=0.95, iterations=5, **adamw):
        super().__init__(params, lr=lr, **adamw)
        self.matrix_rate, self.momentum, self.iterations = matrix_rate, momentum, iterations
        self._step_supports_amp_scaling = False  # a step with an overflow is left out as a whole

    @torch.no_grad()
    def step(self, closure=None):
        """As of `torch.optim.AdamW`."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        gradients = self._step_matrices()
        _adamw_step(self)
        for parameter, gradient in gradients.items():
            parameter.grad = gradient
        return loss

    def _step_matrices(self):
        """Change the matrices, and take their gradients away; these, by parameter."""
        gradients, by_shape = {}, {}
        for group in self.param_groups:
            for parameter in () if group.get("elementwise") else group["params"]:
                if parameter.ndim == 2 and parameter.grad is not None:
                    gradients[parameter], parameter.grad = parameter.grad, None
                    update = self._direction(parameter, gradients[parameter])
                    by_shape.setdefault(tuple(sorted(update.shape)), []).append((parameter, group["lr"], update))
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
        for rows in by_shape.values():
            wide = [update if update.shape[0] <= update.shape[1] else update.mT for *_, update in rows]
            for (parameter, rate, update), found in zip(
                rows, orthogonalised(torch.stack(wide), self.iterations), strict=True
            ):
                found = spread(found if found.shape == update.shape else found.mT.contiguous(), parameter)
                parameter.add_(found, alpha=-RMS * self.matrix_rate * rate * max(update.shape) ** 0.5)
        return gradients

    def _direction(self, parameter, gradient):
        """The momentum after a gradient, looked ahead, whole in each process."""
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())  # AdamW looks for it in each state that is loaded
            state["momentum"] = torch.zeros_like(parameter)
        state["step"] += 1
        state["momentum"].lerp_(gradient, 1 - self.momentum)
        update = gradient.lerp(state["momentum"], self.momentum)
        return update.full_tensor() if is_part(update) else update


def orthogonalised(matrices, iterations=5):
    """Matrices with the same singular vectors and singular values near 1, by iterations of Newton and Schulz.

    Parameters
    ----------
    matrices : Tensor
        (N, rows, columns), no more rows than columns.
    iterations : int

    Returns
    -------
    Tensor
        Of the same shape.

    Examples
    --------
    >>> matrices = torch.randn(2, 30, 50, generator=torch.Generator().manual_seed(0))
    >>> values = torch.linalg.svdvals(orthogonalised(matrices))
    >>> bool((values > 0.6).all() and (values < 1.3).all())
    True
    """
    a, b, c = QUINTIC
    x = matrices / (matrices.flatten(1).norm(dim=1).view(-1, 1, 1) + 1e-7)
    x = x.bfloat16() if multiplies_bfloat16(x.device.type) else x
    for _ in range(iterations):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.to(matrices.dtype)


@functools.cache
def multiplies_bfloat16(kind):
    """Whether devices of a kind, cpu or cuda, have instructions for products of bfloat16."""
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return any(torch.cpu.get_capabilities().get(name) for name in ("avx512_bf16", "amx_bf16"))
