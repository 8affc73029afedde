"""A public causal language model behind one interface: embeddings in, logits of the next tokens out."""

import inspect

import torch
from torch import nn

from serenanet_modules.errors import UserError
from serenanet_modules.lobes.pretrained.language_models import known_language_model

BASE = ".base_layer."  # between the names of a layer with an adapter and of its own weights
WAYS = ("frozen", "lora", "all")
SAMPLE = 1024  # embeddings that tell their size


class CausalLM(nn.Module):
    """A causal language model of transformers; weights are taken by `load`, until then they are random.

    What keeps its weights also is in evaluation mode always.

    Parameters
    ----------
    source : str
        Folder or hub name that it is from.
    config : dict
        Plain values of its configuration, those of `language_models` and no others.
    learns : {"frozen", "lora", "all"}
        What a training changes: nothing, low-rank adapters, all.
    lora : dict, optional
        Of the adapters (Hu et al. 2021): ``r``, ``alpha``, ``dropout``, and ``targets``, the last parts of the names of
        linear layers.
    instruction : str
        What the user asks for, in a prompt.
    chat : bool
        Whether the prompt is made by the tokenizer's chat template, where it has one.
    prompt : list of str, optional
        The three texts around a context and the sound: before both, between them, after both.
    revision, sha256 : str, optional
        Of the source and of its weights.
    keep : {"copy", "reference"}
        Whether a result folder holds the weights or only says where they are from.

    Attributes
    ----------
    size : int
        Of an embedding.
    longest : int
        Positions that there are.
    end : list of int
        Tokens that end an answer; the first is the one that is learned.
    """

    def __init__(
        self,
        source,
        config,
        learns="frozen",
        lora=None,
        instruction="",
        chat=True,
        prompt=None,
        revision=None,
        sha256=None,
        keep="reference",
    ):
        super().__init__()
        family, values = known_language_model(config)
        if learns not in WAYS:
            raise ValueError(f"learns is {learns!r}; it must be one of {', '.join(WAYS)}")
        if keep == "reference" and learns == "all":
            raise ValueError("keep is reference, but all of the language model learns; set it to copy")
        self.source, self.revision, self.sha256, self.keep = source, revision, sha256, keep
        self.learns, self.prompt, self.language = learns, list(prompt or ("", "", "")), None
        self.network = family.build(values)
        self.tied = self.network.get_output_embeddings().weight is self.network.get_input_embeddings().weight
        config = self.network.config
        self.size, self.longest = config.hidden_size, getattr(config, family.longest)
        ends = config.eos_token_id
        self.end = [] if ends is None else [ends] if isinstance(ends, int) else list(ends)
        self.network.requires_grad_(learns == "all")
        if learns == "lora":
            _adapt(self.network, lora)
        names = inspect.signature(self.network.forward).parameters
        self._cache = "cache" if "cache" in names else "past_key_values"  # before transformers 5.24
        self.register_state_dict_post_hook(_leave_out_tied)
        self.register_load_state_dict_pre_hook(_fill_in_tied)

    def train(self, mode=True):
        """As of `Module`; of an adapted network the adapters alone go into training mode."""
        super().train(mode)
        self.network.train(mode and self.learns == "all")
        for name, module in self.network.named_modules() if self.learns == "lora" else ():
            if name.rpartition(".")[2].startswith("lora_"):
                module.train(mode)
        return self

    @property
    def rms(self):
        """Root mean square of the embeddings' values, about."""
        weight = self.network.get_input_embeddings().weight.detach()
        return weight[:: max(1, len(weight) // SAMPLE)].float().square().mean().sqrt()

    def embed(self, tokens):
        """Tokens (…) int64 -> (…, size)."""
        return self.network.get_input_embeddings()(tokens)

    def forward(self, x, valid, count, cache=None):
        """Logits of the tokens after the last ``count`` positions.

        Parameters
        ----------
        x : Tensor
            Embeddings (B, L, size) of what comes after what ``cache`` holds; padding stands before each sequence.
        valid : Tensor
            Boolean (B, K + L), false on padding, of what the cache holds (K) too.
        count : int
        cache : object, optional
            From `start`; it is extended.

        Returns
        -------
        Tensor
            (B, count, vocabulary) float32.

        Raises
        ------
        UserError
            For sequences that are longer than the model has positions.
        """
        if valid.shape[1] > self.longest:
            raise UserError(
                f"prompt, sound and text take {valid.shape[1]} positions, and the language model has {self.longest}; "
                "give a shorter context, shorter audio, or an adapter of fewer embeddings a second"
            )
        positions = (valid.long().cumsum(1) - 1).clamp(min=0)[:, -x.shape[1] :]
        found = self.network(
            inputs_embeds=x,
            attention_mask=valid.long(),
            position_ids=positions,
            use_cache=cache is not None,
            logits_to_keep=count,
            **{self._cache: cache},
        )
        return found.logits.float()

    def start(self):
        """An empty cache of keys and values; its ``reorder_cache(rows)`` picks rows (N,) of the batch."""
        from transformers import DynamicCache

        return DynamicCache(config=self.network.config)

    # --- weights ----------------------------------------------------------------------------------------------------

    def own(self):
        """Names of the tensors that are the source's, by its names for them."""
        names = [name.removeprefix("network.") for name in self.state_dict()]
        return {_plain(name): f"network.{name}" for name in names if ".lora_" not in name}

    def check(self, shapes):
        """Refuse weights that this model cannot take: shapes (tuples) by transformers' names.

        Raises
        ------
        ValueError
            With a tensor that is missing or of another shape.
        """
        tensors = self.state_dict()
        for name, own in self.own().items():
            if name not in shapes:
                raise ValueError(f"its weights lack {name}")
            if tuple(shapes[name]) != tuple(tensors[own].shape):
                raise ValueError(f"{name} is {tuple(shapes[name])}, not {tuple(tensors[own].shape)}")

    def load(self, tensors):
        """Take weights, Tensors by transformers' names; errors as of `check`."""
        self.check({name: tensor.shape for name, tensor in tensors.items()})
        held = self.state_dict()
        with torch.no_grad():
            for name, own in self.own().items():
                held[own].copy_(tensors[name])


def _adapt(network, lora):
    """Put low-rank adapters beside linear layers; at first they change nothing."""
    from peft import LoraConfig, inject_adapter_in_model

    targets = lora["targets"] if isinstance(lora["targets"], list) else [lora["targets"]]
    kinds = {name.rpartition(".")[2] for name, module in network.named_modules() if isinstance(module, nn.Linear)}
    kinds -= {"lm_head"}  # whose weights may be those of the embeddings
    if missing := [kind for kind in targets if kind not in kinds]:
        raise ValueError(f"lora.targets: there is no linear layer {missing[0]!r}, only {', '.join(sorted(kinds))}")
    config = LoraConfig(r=lora["r"], lora_alpha=lora["alpha"], lora_dropout=lora["dropout"], target_modules=targets)
    inject_adapter_in_model(config, network, "low_rank")
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(".lora_" in name)


def _plain(name):
    return name.replace(BASE, ".")


def _leave_out_tied(lm, state, prefix, metadata):
    """One name is enough for one tensor."""
    if lm.tied:
        state.pop(f"{prefix}network.lm_head.weight", None)


def _fill_in_tied(lm, state, prefix, *args):
    if lm.tied:
        name = f"{prefix}network.{_embedding(lm)}.weight"
        state[f"{prefix}network.lm_head.weight"] = state.get(name, lm.network.get_input_embeddings().weight)


def _embedding(lm):
    """Name of the embedding inside the network."""
    embedding = lm.network.get_input_embeddings()
    return next(name for name, module in lm.network.named_modules() if module is embedding)
