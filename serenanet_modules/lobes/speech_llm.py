"""A speech LLM: adapted frames of an acoustic model stand in the prompt of a language model, which writes the text."""

from typing import NamedTuple

import torch
from torch import nn

from serenanet_modules.lobes.adapter import by_labels
from serenanet_modules.lobes.blocks.parts import Frames
from serenanet_modules.lobes.blocks.streaming import CannotStream
from serenanet_modules.lobes.ctc_model import CTCModel

COMPRESS = ("stack", "ctc")


class Said(NamedTuple):
    """What a language model is told beside sounds, of each utterance a list of tokens."""

    before: list[list[int]]  # the sound
    after: list[list[int]]
    texts: list[list[int]]  # without the end; none of them yet while it writes


class Uniform(nn.Module):
    """A head that knows nothing: frames (B, T, F) -> zeros (B, T, n_units)."""

    def __init__(self, n_units):
        super().__init__()
        self.n_units = n_units

    def forward(self, x):
        """As the class says."""
        return x.new_zeros(*x.shape[:-1], self.n_units)


class SpeechLLM(CTCModel):
    """An acoustic model, an adapter and a causal language model (Ma et al. 2024, arXiv 2402.08846).

    The acoustic model also has a CTC head of units: it says where words lie, how sure they are, can merge frames for
    the language model and score what that writes.

    Parameters
    ----------
    llm : CausalLM
    adapter : Part
        ``(hidden, lengths) -> Frames`` of the language model's size; see `lobes.adapter`.
    compress : {"stack", "ctc"}
        Whether the adapter reads all frames, or those merged by the likeliest labels of CTC.
    ctc : bool
        Whether there is a CTC head; without one words have no times of their own, and no confidences.
    **parts
        As in `CTCModel`.

    Raises
    ------
    ValueError
        For parts that do not fit each other.
    """

    settings = ("attention_beam_size", "context", "draft", "decoding_ctc_weight")

    def __init__(self, llm, adapter, compress="stack", ctc=True, **parts):
        super().__init__(**parts)
        self.adapter, self.llm, self.compress = adapter, llm, compress
        if compress not in COMPRESS or (compress == "ctc" and not ctc):
            raise ValueError(f"compress is {compress!r}; give stack or, with a CTC head, ctc")
        if self.acoustic.frame_seconds is None:
            raise ValueError("a speech LLM needs an acoustic model whose frames have one length")
        self._check_sizes()
        if not ctc:
            self.decoder = Uniform(parts["n_units"])

    def _check_sizes(self):
        parameters = [p for p in self.adapter.parameters() if p.dim() > 1]
        given = torch.zeros(1, 1, self.acoustic.d_model, device=parameters[0].device)
        try:
            size = self.adapter(given, torch.ones(1, dtype=torch.int64, device=given.device)).x.shape[-1]
        except RuntimeError:
            raise ValueError(
                f"adapter.d_input must be {self.acoustic.d_model}, the size of the acoustic model's frames; where "
                "there is no head, give it as d_model"
            ) from None
        if size != self.llm.size:
            raise ValueError(f"adapter.d_model is {size}, but must be {self.llm.size}, the language model's")

    @property
    def scorings(self):
        """As of `CTCModel`; none where there is no CTC head."""
        return () if isinstance(self.decoder, Uniform) else super().scorings

    @property
    def places_words(self):
        """As of `CTCModel`; by its CTC head alone."""
        return bool(self.scorings)

    @property
    def writer(self):
        """The language model."""
        return self.llm

    def forward(self, wavs, lengths, conditions=None, said=None):
        """wavs (B, S), lengths (B,) int64 samples, `Conditions` -> `CTCOutput`.

        ``said`` makes a `Said` of CTC's log-probabilities (B, T, V) and lengths (B,). The output's ``tokens`` are
        logits (B, U + 1, vocabulary) of the last U + 1 tokens of each utterance, of which the last is the end, U being
        those of the longest text; None where nothing is said.
        """
        output = super().forward(wavs, lengths, conditions)
        if said is None:
            return output
        said = said(output.decoder.detach(), output.lengths)
        x, valid = self.sequences(self.embeddings(output.hidden, output.decoder, output.lengths), said)
        return output._replace(tokens=self.llm(x, valid, max(map(len, said.texts)) + 1))

    def init_state(self, batch, look_ahead=None):
        """There is none.

        Raises
        ------
        CannotStream
        """
        raise CannotStream("a speech LLM cannot stream")

    def embeddings(self, hidden, log_probs, lengths):
        """What the language model reads of the acoustic model's frames (B, T, d_model) and their CTC log-probabilities.

        Returns
        -------
        Frames
        """
        if self.compress == "ctc":
            hidden, lengths, *_ = by_labels(hidden, log_probs.detach(), lengths)
        x, lengths, *_ = self.adapter(hidden, lengths)
        return Frames(x * self.llm.rms, lengths)

    def sequences(self, heard, said):
        """Embeddings (B, L, size) of prompts, sounds and texts, padding in front, and which are valid (B, L)."""
        rows = []
        for x, length, before, after, text in zip(heard.x, heard.lengths.tolist(), *said, strict=True):
            tokens = self.llm.embed(torch.tensor([*before, *after, *text], dtype=torch.int64, device=x.device))
            rows.append(torch.cat([tokens[: len(before)], x[:length].to(tokens.dtype), tokens[len(before) :]]))
        x = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_side="left")
        counts = torch.tensor([len(row) for row in rows], device=x.device).unsqueeze(1)
        return x, torch.arange(x.shape[1], device=x.device) >= x.shape[1] - counts
