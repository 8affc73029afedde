"""The label decoder of an encoder-decoder recogniser, and the language model of the same layers.

Label 0, which is blank to CTC, is the border of a sentence here: what comes before the first label, and what is
predicted after the last. So both heads and the language model speak of the same classes.
"""

import copy
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from serenanet_modules.lobes.decoders.causal import CausalStack, choose

BORDER = 0


class DecoderState(NamedTuple):
    """What `AttentionDecoder.step` carries; N hypotheses of B utterances, those of an utterance side by side."""

    layers: tuple  # of each layer: tensors (N, ...)
    memories: tuple  # of each layer: a `Memory` of (B, ...)


class AttentionDecoder(nn.Module):
    """Predicts each label from those before it and an encoder's output (Vaswani et al. 2017, pre-norm).

    Parameters
    ----------
    d_model : int
        Also the encoder's.
    n_units : int
        Output classes; class 0 ends a sentence.
    n_heads, n_layers, d_ffn : int
    dropout : float
    mixer : {"attention", "plain", "mamba", "mamba2"}
        What the labels see each other through: rotary self-attention, self-attention without positions of its own, or a
        Mamba block.
    prefix : list of int, optional
        Labels that stand in the place of the first border, such as those of a language and a task; they are not
        predicted.
    alignment : list of (int, int), optional
        Layers and their heads, from 0, that attend to what is being said; by default all heads of the upper half.
    **options
        Further arguments of the `CausalStack`: ``positions``, ``tied``, and those of a Mamba block such as ``d_state``.

    Examples
    --------
    >>> decoder = AttentionDecoder(16, 5, n_heads=2, n_layers=1, d_ffn=32).eval()
    >>> memory, lengths = torch.randn(2, 7, 16), torch.tensor([7, 3])
    >>> logits = decoder(torch.tensor([[0, 4, 2], [0, 1, 0]]), memory, lengths)
    >>> logits.shape
    torch.Size([2, 3, 5])

    The same label by label:

    >>> first, state = decoder.step(torch.tensor([0, 0]), decoder.init_state(memory, lengths))
    >>> torch.allclose(first, logits[:, 0], atol=1e-5)
    True
    """

    def __init__(
        self,
        d_model,
        n_units,
        n_heads,
        n_layers,
        d_ffn,
        dropout=0.1,
        mixer="attention",
        prefix=None,
        alignment=None,
        **options,
    ):
        super().__init__()
        self.stack = CausalStack(n_units, d_model, n_heads, n_layers, d_ffn, dropout, mixer, True, **options)
        self.prefix = tuple(prefix or (BORDER,))
        upper = [(layer, head) for layer in range(n_layers // 2, n_layers) for head in range(n_heads)]
        self.alignment = [tuple(pair) for pair in alignment or upper]

    @property
    def unit_parts(self):
        """As of `CausalStack`."""
        return self.stack.unit_parts

    def behind(self, prefix):
        """The same decoder, whose weights are shared, with another prefix."""
        other = copy.copy(self)
        other.prefix = tuple(prefix)
        return other

    def most_labels(self, memory_lengths):
        """How many labels utterances of so many frames (B,) can have: as many as frames, and as there are places."""
        places = self.stack.positions
        return memory_lengths if places is None else memory_lengths.clamp(max=places.num_embeddings - len(self.prefix))

    def forward(self, labels, memory, memory_lengths):
        """Logits of the label after each one.

        Parameters
        ----------
        labels : Tensor
            (B, U) int64, beginning with the border.
        memory : Tensor
            Encoder output (B, T, d_model); not read past
        memory_lengths : Tensor
            (B,) int64.

        Returns
        -------
        Tensor
            (B, U, n_units).
        """
        before = self.prefix[:-1]
        whole = functional.pad(self._begun(labels), (len(before), 0))
        if before:
            whole[:, : len(before)] = labels.new_tensor(before)
        return self.stack(whole, self._memories(memory, memory_lengths))[:, len(before) :]

    def attended(self, labels, memory, memory_lengths):
        """As `forward`, and how much the heads of ``alignment`` attend to each frame then: (B, heads, U, T)."""
        weights, before = {}, len(self.prefix) - 1

        def watch(layer):
            def keep(cross, arguments, output):
                weights[layer] = cross.weights(*arguments)[:, :, before:]

            return self.stack.layers[layer].cross.register_forward_hook(keep)

        hooks = [watch(layer) for layer in sorted({layer for layer, _ in self.alignment})]
        try:
            logits = self(labels, memory, memory_lengths)
        finally:
            for hook in hooks:
                hook.remove()
        return logits, torch.stack([weights[layer][:, head] for layer, head in self.alignment], 1)

    def first_logits(self, state):
        """Logits (N, n_units) behind the first label of the prefix, by what `init_state` gave."""
        memories = state.memories
        labels = torch.full((len(memories[0].keys), 1), self.prefix[0], device=memories[0].keys.device)
        return self.stack.step(labels, self.stack.init_state(len(labels)), memories)[0].squeeze(1)

    def init_state(self, memory, memory_lengths, beam=1):
        """The state of ``beam`` empty hypotheses for each utterance; keys and values of the memory are made here."""
        memories, n = self._memories(memory, memory_lengths), len(memory) * beam
        layers, before = self.stack.init_state(n), self.prefix[:-1]
        if before:
            labels = torch.tensor(before, device=memory.device).expand(n, -1)
            layers = self.stack.step(labels, layers, memories)[1]
        return DecoderState(layers, memories)

    def step(self, labels, state):
        """Continue each hypothesis by its last label (N,): logits (N, n_units) of the next one, and the state."""
        logits, layers = self.stack.step(self._begun(labels.unsqueeze(1)), state.layers, state.memories)
        return logits.squeeze(1), DecoderState(layers, state.memories)

    def _begun(self, labels):
        """Labels with the last one of the prefix in the place of borders, which nothing comes after."""
        return labels.where(labels != BORDER, self.prefix[-1])

    @staticmethod
    def reorder(state, hypotheses, utterances=None):
        """The state of other hypotheses.

        Parameters
        ----------
        state : DecoderState
        hypotheses : Tensor
            (N',) int64: which hypothesis stands where now, those of an utterance side by side.
        utterances : Tensor, optional
            (B',) int64: which utterances are kept; all without it.
        """
        memories = state.memories if utterances is None else choose(state.memories, utterances)
        return DecoderState(choose(state.layers, hypotheses), memories)

    def _memories(self, memory, lengths):
        return tuple(layer.cross.memory(memory, lengths) for layer in self.stack.layers)


class LabelLM(nn.Module):
    """A language model of units: causal layers without an encoder.

    Parameters
    ----------
    n_units : int
        Classes in and out; class 0 is the border of a sentence.
    d_model, n_heads, n_layers, d_ffn : int
    dropout : float
    mixer : {"attention", "mamba", "mamba2"}
    **options
        Further arguments of a Mamba block.
    """

    def __init__(self, n_units, d_model, n_heads, n_layers, d_ffn, dropout=0.1, mixer="attention", **options):
        super().__init__()
        self.stack = CausalStack(n_units, d_model, n_heads, n_layers, d_ffn, dropout, mixer, False, **options)

    def forward(self, labels):
        """labels (B, U) int64, beginning with the border -> logits (B, U, n_units) of the label after each."""
        return self.stack(labels)

    def init_state(self, batch):
        """The state of empty hypotheses."""
        return self.stack.init_state(batch)

    def step(self, labels, state):
        """Continue by labels (N,): logits (N, n_units), and the state."""
        logits, state = self.stack.step(labels.unsqueeze(1), state)
        return logits.squeeze(1), state

    @staticmethod
    def reorder(state, hypotheses):
        """The state of other hypotheses (N',)."""
        return choose(state, hypotheses)


def with_border(labels):
    """Put the border before labels (B, U): the decoder's input (B, U + 1)."""
    return functional.pad(labels, (1, 0), value=BORDER)
