"""CTC prefix scores on a CPU, in C++."""

import ctypes

from serenanet_modules.decoding.cpp import library, plain
from serenanet_modules.decoding.ctc_prefix import CTCPrefixScorer, PrefixState


class _Batch(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("utterances", "frames", "units", "blank")),
        *((name, ctypes.c_void_p) for name in ("lengths", "log_probs", "probs")),
    ]


class CompiledPrefixScorer(CTCPrefixScorer):
    """As `CTCPrefixScorer`; forward variables past an utterance's length are not set."""

    def __init__(self, log_probs, lengths, blank_id=0):
        super().__init__(log_probs, lengths, blank_id)
        self._lengths = lengths.long().contiguous()
        self._point()

    def _point(self):
        self.log_probs, self.probs = self.log_probs.contiguous(), self.probs.contiguous()
        tensors = (self._lengths, self.log_probs, self.probs)
        self._batch = _Batch(*self.log_probs.shape, self.blank_id, *(tensor.data_ptr() for tensor in tensors))

    def keep(self, utterances):
        """As of `CTCPrefixScorer`."""
        super().keep(utterances)
        self._lengths = self._lengths[utterances]
        self._point()

    def start(self, beam):
        """As of `CTCPrefixScorer`."""
        return PrefixState(*(part.contiguous() for part in super().start(beam)))

    def extend(self, state):
        """As of `CTCPrefixScorer`."""
        batch, beam = state.last.shape
        scores = state.label.new_empty(batch, beam, self.log_probs.shape[2])
        library().serena_prefix_extend(ctypes.byref(self._batch), beam, *_places(*state, scores))
        return scores

    def advance(self, state, parents, labels):
        """As of `CTCPrefixScorer`."""
        parents, labels = parents.contiguous(), labels.contiguous()
        spelled, blanks = state.label.new_empty(2, *labels.shape, state.label.shape[2])
        library().serena_prefix_advance(
            *(ctypes.byref(self._batch), state.last.shape[1], labels.shape[1]),
            *_places(*state, parents, labels, spelled, blanks),
        )
        return PrefixState(spelled, blanks, labels)


def _places(*tensors):
    return [tensor.data_ptr() for tensor in tensors]


def prefix_scorer(log_probs, lengths):
    """The compiled scorer or, on other devices and where there is none, the plain one."""
    compiled = log_probs.device.type == "cpu" and not plain()
    return (CompiledPrefixScorer if compiled else CTCPrefixScorer)(log_probs, lengths)
