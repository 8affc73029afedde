"""Linear layers of a finished model that multiply whole numbers of eight bits, on a CPU.

Each row of a layer's weight, and each frame that the layer reads, has a scale of its own: what is read beside an
utterance changes nothing. Sums are whole numbers too, and so the same in any order. All other parts compute as before.
"""

import torch
from torch import nn

from serenanet_modules.errors import UserError

LARGEST = 127  # of eight bits, the same on both sides of 0


def check_quantisation(device, precision):
    """Refuse eight bits where they are not for.

    Parameters
    ----------
    device, precision : str

    Raises
    ------
    UserError
        On a GPU, and together with a precision.
    """
    if device.startswith("cuda"):
        raise UserError("--quantize int8: is for CPUs; on a GPU use --eval-precision bf16 or fp8")
    if precision != "fp32":
        raise UserError(
            f"--quantize int8: cannot be combined with --eval-precision; leave --eval-precision {precision} out"
        )


def quantise(model, exact=()):
    """Put an `Int8Linear` into the place of each linear layer.

    Parameters
    ----------
    model : Module
        In evaluation mode, on a CPU.
    exact : iterable of Module
        Parts whose layers stay as they are.

    Returns
    -------
    dict
        How many layers there are now, and which share of the model's numbers they have.
    """
    spared, made = {module for part in exact for module in part.modules()}, {}
    total = sum(p.numel() for p in model.parameters())
    for module in list(model.modules()):
        for name, layer in list(module.named_children()):
            if isinstance(layer, nn.Linear) and layer not in spared:
                if layer not in made:
                    made[layer] = layer if isinstance(layer, Int8Linear) else Int8Linear(layer)
                setattr(module, name, made[layer])
    share = sum(layer.rows.numel() for layer in made.values()) / max(1, total)
    return {"layers": len(made), "share_of_parameters": round(share, 4)}


class Int8Linear(nn.Linear):
    """A linear layer whose weight is of eight bits.

    Parameters
    ----------
    layer : Linear
        That it computes nearly the same as.

    Attributes
    ----------
    rows : Tensor
        (H, F) int8.
    scales : Tensor
        (H,) what 1 stands for in a row.
    """

    def __init__(self, layer):
        nn.Module.__init__(self)
        self.in_features, self.out_features = layer.in_features, layer.out_features
        rows, scales = _whole(layer.weight.detach().float())
        self.register_buffer("rows", rows)
        self.register_buffer("scales", scales.squeeze(1))
        self.register_parameter("bias", layer.bias)
        self.train(layer.training)

    @property
    def weight(self):
        """(H, F) float32, for parts that read it themselves."""
        return self.rows.float() * self.scales.unsqueeze(1)

    def forward(self, x):
        """x (..., F) -> (..., H)."""
        if not x.numel():
            return x.new_empty(*x.shape[:-1], self.out_features)
        frames, scales = _whole(x.reshape(-1, x.shape[-1]).float())
        y = torch._int_mm(frames, self.rows.t()).to(torch.float32).mul_(scales)
        y = y.mul_(self.scales) if self.bias is None else torch.addcmul(self.bias, y, self.scales)
        return y.view(*x.shape[:-1], -1).to(x.dtype)


def _whole(x):
    """Rows x (N, F) as int8 and what 1 stands for in each, (N, 1).

    >>> _whole(torch.tensor([[0.5, -1.27], [0.0, 0.0]]))[0].tolist()
    [[50, -127], [0, 0]]
    """
    scales = x.abs().amax(1, keepdim=True).clamp_min_(torch.finfo(torch.float32).tiny * 2**8) / LARGEST
    return (x / scales).round_().to(torch.int8), scales
