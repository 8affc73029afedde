"""CTC scores of label prefixes, for a search that goes label by label (Watanabe et al. 2017, algorithm 2).

The score of a prefix is ln p of all label sequences that begin with it; that of a finished one is ln p of itself. Two
things make it cheap here. The score of every one-label extension is a product of matrices, so no candidates need to be
selected beforehand; and the recursion over frames, needed for the extensions that are chosen only, is a cumulative sum:

- psi(h c) = ln sum_t phi(t - 1) p_t(c), phi(t) the probability that the first t frames say h (and, where c is h's last
  label again, that they end in blank);
- r_t = (r_{t-1} + phi(t-1)) p_t(c), and so ln r_t = P_t + logcumsumexp_s(ln phi(s-1) - P_{s-1}), P_t = sum ln p_s.

All in float64, which cumulative sums over thousands of frames want.
"""

from typing import NamedTuple

import torch
from torch import Tensor

LOG_ZERO = -1e30  # of a prefix; a finite one, of which differences are numbers
LOWEST = -1e4  # of a frame's log-probability, which is added up over frames
NEVER = -1e15  # of a label in the padding
IMPOSSIBLE = -1e12  # scores below are those of no path at all


class PrefixState(NamedTuple):
    """Forward variables of prefixes after t = 0 … T frames, and their last labels (blank for none)."""

    label: Tensor  # (B, K, T + 1), paths that end in the last label
    blank: Tensor  # (B, K, T + 1), paths that end in blank
    last: Tensor  # (B, K) int64


class CTCPrefixScorer:
    """Scores prefixes of a batch of utterances.

    Parameters
    ----------
    log_probs : Tensor
        Natural-log probabilities (B, T, V).
    lengths : Tensor
        (B,) int64 frames; what follows is not read.
    blank_id : int

    Examples
    --------
    >>> log_probs = torch.tensor([[[0.5, 0.3, 0.2], [0.6, 0.1, 0.3]]]).log()
    >>> scorer = CTCPrefixScorer(log_probs, torch.tensor([2]))
    >>> scores = scorer.extend(scorer.start(1)).exp()  # of ending at once, of [1, ...], of [2, ...]
    >>> [round(p, 2) for p in scores[0, 0].tolist()]
    [0.3, 0.35, 0.35]
    """

    def __init__(self, log_probs, lengths, blank_id=0):
        padding = torch.arange(log_probs.shape[1], device=log_probs.device) >= lengths.unsqueeze(1)
        sure = torch.full_like(log_probs[0, 0], NEVER, dtype=torch.float64)
        sure[blank_id] = 0.0  # padding says blank for sure, which changes no sum
        log_probs = log_probs.double().clamp(min=LOWEST)
        self.log_probs = torch.where(padding.unsqueeze(-1), sure, log_probs)
        self.probs = self.log_probs.exp()
        self.blank_id = blank_id

    def keep(self, utterances):
        """Drop all utterances but these (B',)."""
        self.log_probs, self.probs = self.log_probs[utterances], self.probs[utterances]

    def start(self, beam):
        """``beam`` empty prefixes for each utterance."""
        batch, frames, _ = self.log_probs.shape
        spelled = self.log_probs.new_full((batch, beam, frames + 1), LOG_ZERO)
        blanks = self.log_probs[..., self.blank_id].cumsum(1)
        blanks = torch.nn.functional.pad(blanks, (1, 0)).unsqueeze(1).expand(-1, beam, -1)
        last = torch.full((batch, beam), self.blank_id, device=spelled.device)
        return PrefixState(spelled, blanks, last)

    def extend(self, state):
        """Scores (B, K, V) of each prefix with one label more; in blank's place, of the prefix as it is, finished."""
        either = torch.logaddexp(state.label, state.blank)
        before = either[..., :-1]
        scores = _log_product(before, self.probs)
        again = state.blank[..., :-1] + self._frames_of(state.last)  # a blank must stand before the same label
        repeated = torch.logsumexp(again, -1, keepdim=True)
        scores = scores.scatter(-1, state.last.unsqueeze(-1), repeated)
        scores[..., self.blank_id] = either[..., -1]
        return scores.masked_fill_(scores < IMPOSSIBLE, LOG_ZERO)

    def advance(self, state, parents, labels):
        """The state of prefixes ``parents`` (B, K') with one label more each, ``labels`` (B, K')."""
        index = parents.unsqueeze(-1).expand(-1, -1, state.label.shape[-1])
        spelled, blanks = state.label.gather(1, index), state.blank.gather(1, index)
        repeated = (state.last.gather(1, parents) == labels).unsqueeze(-1)
        before = torch.where(repeated, blanks, torch.logaddexp(spelled, blanks))
        spelled = _recursion(before, self._frames_of(labels))
        silent = self.log_probs[..., self.blank_id].unsqueeze(1).expand(-1, labels.shape[1], -1)
        return PrefixState(spelled, _recursion(spelled, silent), labels)

    def _frames_of(self, labels):
        """Log-probabilities (B, K, T) of labels (B, K)."""
        index = labels.unsqueeze(1).expand(-1, self.log_probs.shape[1], -1)  # (B, T, K)
        return self.log_probs.gather(2, index).transpose(1, 2)


def _log_product(log_weights, probs):
    """ln of exp(log_weights) (B, K, T) times probs (B, T, V)."""
    largest = log_weights.amax(-1, keepdim=True)
    product = torch.bmm((log_weights - largest).exp(), probs)
    return product.log() + largest


def _recursion(entering, log_probs):
    """ln r_t for t = 0 … T of r_t = (r_{t-1} + exp(entering_{t-1})) p_t, r_0 = 0; (B, K, T + 1) and (B, K, T)."""
    total = torch.nn.functional.pad(log_probs.cumsum(-1), (1, 0))
    inside = torch.logcumsumexp(entering[..., :-1] - total[..., :-1], -1) + total[..., 1:]
    return torch.nn.functional.pad(inside.clamp(min=LOG_ZERO), (1, 0), value=LOG_ZERO)
