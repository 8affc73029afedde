"""Linear layers of a finished model whose weights have fewer bits.

Eight bits, on a CPU: whole numbers are multiplied. Each row of a layer's weight, and each frame that the layer reads,
has a scale of its own: what is read beside an utterance changes nothing. Sums are whole numbers too, and so the same in
any order. Four bits are for the language model of a speech LLM alone: its weights take an eighth of the memory, and are
unpacked for each product. All other parts compute as before.
"""

from statistics import NormalDist

import torch
from torch import nn
from torch.nn import functional

from serenanet_modules.errors import UserError
from serenanet_modules.runtime.precision import torchao_or_refused

LARGEST = 127  # of eight bits, the same on both sides of 0
BLOCK = 64  # weights of four bits that share a scale


def check_quantisation(kind, device, precision):
    """Refuse fewer bits where they are not for.

    Parameters
    ----------
    kind : str
        One of `precision.QUANTISATIONS`.
    device, precision : str

    Raises
    ------
    UserError
        For eight bits on a GPU, ``int4`` on anything else, and together with a precision.
    """
    on_gpu = device.startswith("cuda")
    if kind == "int8" and on_gpu:
        raise UserError("--quantize int8: is for CPUs; on a GPU use --eval-precision bf16 or fp8")
    if kind == "int4":
        if not on_gpu or torch.cuda.get_device_capability(device) < (8, 0):
            raise UserError(f"--quantize int4: needs a GPU of compute capability 8.0, and {device} is none; use nf4")
        torchao_or_refused("--quantize int4", "nf4")
    if precision != "fp32":
        raise UserError(
            f"--quantize {kind}: cannot be combined with --eval-precision; leave --eval-precision {precision} out"
        )


def quantise(model, exact=(), kind="int8"):
    """Put a layer of fewer bits into the place of each linear layer; with four bits, of the language model's.

    Parameters
    ----------
    model : Module
        In evaluation mode; for ``int8`` on a CPU.
    exact : iterable of Module
        Parts whose layers stay as they are.
    kind : str
        One of `precision.QUANTISATIONS`.

    Returns
    -------
    dict
        How many layers there are now, and which share of the model's numbers they have.

    Raises
    ------
    UserError
        For four bits of a model without a language model.
    """
    if kind != "int8" and getattr(model, "llm", None) is None:
        raise UserError(f"--quantize {kind}: is for speech LLMs, and this model is none; give int8")
    part = model if kind == "int8" else model.llm.network
    spared = {module for inner in (*exact, *_kept(part, kind)) for module in inner.modules()}
    total, made = sum(p.numel() for p in model.parameters()), {}
    for module in list(part.modules()):
        for name, layer in list(module.named_children()):
            if isinstance(layer, nn.Linear) and layer not in spared:
                if layer not in made:
                    made[layer] = layer if isinstance(layer, tuple(LAYERS.values())) else LAYERS[kind](layer)
                setattr(module, name, made[layer])
    share = sum(layer.in_features * layer.out_features for layer in made.values()) / max(1, total)
    return {"layers": len(made), "share_of_parameters": round(share, 4)}


def _kept(part, kind):
    """What four bits are too few for: the output layer, which may be the embedding, and low-rank adapters."""
    if kind == "int8":
        return []
    return [module for name, module in part.named_modules() if name == "lm_head" or "lora_" in name.split(".")[-1]]


class _FewBits(nn.Linear):
    """A linear layer that holds its weight in fewer bits.

    Parameters
    ----------
    layer : Linear
        That it computes nearly the same as.
    """

    def __init__(self, layer):
        nn.Module.__init__(self)
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self._hold(layer.weight.detach())
        self.register_parameter("bias", layer.bias)
        self.train(layer.training)

    def _hold(self, weight):
        """Keep a weight (H, F)."""
        raise NotImplementedError


class Int8Linear(_FewBits):
    """A linear layer whose weight is of eight bits.

    Attributes
    ----------
    rows : Tensor
        (H, F) int8.
    scales : Tensor
        (H,) what 1 stands for in a row.
    """

    def _hold(self, weight):
        rows, scales = _whole(weight.float())
        self.register_buffer("rows", rows)
        self.register_buffer("scales", scales.squeeze(1))

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


def _levels():
    """The 16 numbers of NF4: quantiles of a normal distribution, 0 among them (Dettmers et al. 2023, arXiv 2305.14314).

    >>> [round(float(x), 4) for x in _levels()[[0, 1, 7, 8, 15]]]
    [-1.0, -0.6962, 0.0, 0.0796, 1.0]
    """
    first, normal = 0.9677083, NormalDist().inv_cdf
    above = [normal(first + (0.5 - first) * i / 8) for i in range(8)]
    below = [-normal(first + (0.5 - first) * i / 7) for i in range(7)]
    return torch.tensor(sorted([*above, 0.0, *below])) / above[0]


class NF4Linear(_FewBits):
    """A linear layer whose weight has four bits a number and a scale for each `BLOCK` of them.

    Attributes
    ----------
    pairs : Tensor
        (H F / 2,) uint8, two numbers each.
    scales : Tensor
        (H F / `BLOCK`,) what 1 stands for in a block.
    """

    def _hold(self, weight):
        flat = weight.float().flatten()
        blocks = functional.pad(flat, (0, -len(flat) % BLOCK)).view(-1, BLOCK)
        scales = blocks.abs().amax(1).clamp_min(torch.finfo(torch.float32).tiny)
        levels = _levels().to(flat.device)
        codes = torch.bucketize(blocks / scales.unsqueeze(1), (levels[1:] + levels[:-1]) / 2).to(torch.uint8).flatten()
        self.register_buffer("pairs", codes[::2] * 16 + codes[1::2])
        self.register_buffer("scales", scales)
        self.register_buffer("table", torch.cartesian_prod(levels, levels), persistent=False)  # of each pair

    @property
    def weight(self):
        """(H, F) float32."""
        blocks = self.table[self.pairs.int()].view(-1, BLOCK) * self.scales.unsqueeze(1)
        return blocks.flatten()[: self.in_features * self.out_features].view(self.out_features, self.in_features)

    def forward(self, x):
        """x (..., F) -> (..., H)."""
        return functional.linear(x, self.weight.to(x.dtype), self.bias)


class Int4Linear(_FewBits):
    """A linear layer of torchao's four bits, whose products are in bfloat16; on a GPU."""

    def _hold(self, weight):
        from torchao.quantization import Int4WeightOnlyConfig, quantize_

        inner = nn.Linear(self.in_features, self.out_features, bias=False, device=weight.device)
        inner.weight.data = weight.bfloat16()
        quantize_(inner, Int4WeightOnlyConfig(group_size=BLOCK, int4_packing_format="tile_packed_to_4d"))
        self.inner = inner

    @property
    def weight(self):
        """(H, F), packed."""
        return self.inner.weight

    def forward(self, x):
        """x (..., F) -> (..., H)."""
        y = self.inner(x.bfloat16()).to(x.dtype)
        return y if self.bias is None else y + self.bias


LAYERS = {"int8": Int8Linear, "nf4": NF4Linear, "int4": Int4Linear}


def _whole(x):
    """Rows x (N, F) as int8 and what 1 stands for in each, (N, 1).

    >>> _whole(torch.tensor([[0.5, -1.27], [0.0, 0.0]]))[0].tolist()
    [[50, -127], [0, 0]]
    """
    scales = x.abs().amax(1, keepdim=True).clamp_min_(torch.finfo(torch.float32).tiny * 2**8) / LARGEST
    return (x / scales).round_().to(torch.int8), scales
