"""What an attention decoder wrote is judged: loops are decoded again, and silence has no text.

Whisper decodes what loops again at a higher temperature, which draws at random. Here the second search is greedy too,
but may say a few labels in a row once only. What loops even then ends where the loop began; where only its packing
says so, it stays.
"""

from serenanet_modules.decoding.attended import attended
from serenanet_modules.decoding.decoder import Hypothesis
from serenanet_modules.decoding.label_search import Unsaid, attention_greedy
from serenanet_modules.decoding.loops import dense, loop, without_loop

ONCE, ONCE_OF_LETTERS = 4, 16  # labels in a row that the second search says once
LETTERS = ("char", "phoneme")  # kinds of units of which a few in a row stand in any sentence twice
NOTHING, DOUBT = (
    0.6,
    -1.0,
)  # probability of silence above which a text of a lower mean log-probability is none (Whisper)


def heard(decoder, units, memory, lengths, found, alone=False):
    """Hypotheses of labels that a search found.

    Parameters
    ----------
    decoder : AttentionDecoder
    units : Units
    memory : Tensor
        Encoder output (B, T, d_model).
    lengths : Tensor
        (B,) int64 frames.
    found : list of list of int
        Labels of each utterance.
    alone : bool
        Whether the decoder itself has to say where labels lie and whether anything was said.

    Returns
    -------
    list of Hypothesis
    """
    looped = [i for i, labels in enumerate(found) if loops(labels, units)]
    if looped:
        once = ONCE_OF_LETTERS if units.kind in LETTERS else ONCE
        again = attention_greedy(decoder, memory[looped], lengths[looped], Unsaid(units), once)
        found = [*found]
        for i, labels in zip(looped, again, strict=True):
            found[i] = without_loop(found[i]) if loops(labels, units) else labels
    spans = [None] * len(found)
    if alone:
        told = attended(decoder, memory, lengths, found)
        silent = _silent(decoder, units, memory, lengths, told)
        found = [[] if quiet else labels for quiet, labels in zip(silent, found, strict=True)]
        spans = [[] if quiet else t.spans for quiet, t in zip(silent, told, strict=True)]
    return [
        Hypothesis(labels, units.decode(labels), spans=where, looped=i in looped)
        for i, (labels, where) in enumerate(zip(found, spans, strict=True))
    ]


def loops(labels, units):
    """Whether a hypothesis goes round: by its labels, or by how far its text can be packed."""
    return bool(loop(labels)) or dense(units.decode(labels))


def _silent(decoder, units, memory, lengths, told):
    """Of each utterance whether its text is doubtful and the units' sign of silence likely, where they have one."""
    silent = [False] * len(told)
    rows = [i for i, t in enumerate(told) if t.mean < DOUBT]
    if units.no_speech is not None and rows:
        logits = decoder.first_logits(decoder.init_state(memory[rows], lengths[rows]))
        for i, p in zip(rows, logits.softmax(-1)[:, units.no_speech].tolist(), strict=True):
            silent[i] = p > NOTHING
    return silent
