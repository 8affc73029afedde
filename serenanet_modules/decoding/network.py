"""A trained network at work on audio of any length: in pieces cut at pauses, in batches of about equal length.

Training's evaluation and all that uses a finished model read audio by this way, and so hear the same.
"""

import contextlib

import torch
from torch.nn.utils.rnn import pad_sequence

from serenanet_modules.data.audio import SAMPLE_RATE
from serenanet_modules.data.batching import BatchSampler
from serenanet_modules.data.sources import Piece, windows
from serenanet_modules.runtime.bars import Bar

WINDOW = 8  # batches of audio held at a time: enough to batch by duration, and memory stays bounded


class Network:
    """From samples to a recogniser's outputs.

    Parameters
    ----------
    modules : ModuleDict
        ``model``, in evaluation mode.
    device : torch.device
        Its.
    context : context manager, optional
        That sets the precision.
    alone : bool
        Whether each piece is read by itself, so that what comes of it is the same, bit by bit, whatever else is read;
        with the same number of threads.
    """

    def __init__(self, modules, device, context=None, alone=False):
        self.modules, self.device, self.alone = modules, device, alone
        self.context = context or contextlib.nullcontext()

    def output(self, pieces):
        """The model's `CTCOutput` of pieces of audio, read as one batch."""
        wavs = [torch.from_numpy(piece.samples) for piece in pieces]
        wavs = (
            [wav.clone() for wav in wavs] if self.alone else wavs
        )  # where samples begin in memory decides on rounding
        wavs = wavs[0].unsqueeze(0) if len(wavs) == 1 else pad_sequence(wavs, batch_first=True)  # (B, S)
        lengths = torch.tensor([len(piece.samples) for piece in pieces])
        with torch.inference_mode(), self.context:
            return self.modules["model"](wavs.to(self.device), lengths.to(self.device))

    def edges(self, pieces, output):
        """For each piece, seconds of its source at which its frames begin, and at which the last one ends."""
        return [_seconds(*row) for row in zip(pieces, output.edges.tolist(), output.lengths.tolist(), strict=True)]

    def most(self, piece_seconds):
        """So many seconds or, if that is less, what the acoustic model hears at once."""
        most = self.modules["model"].acoustic.most_seconds
        return piece_seconds if most is None else min(piece_seconds, most)

    def read(self, sources, hear, piece_seconds, batch_seconds=120.0, bar=None, silence=lambda piece: None):
        """Cut sources into pieces, hear those that are not silent, and sort what was heard by source.

        No training utterance is silent, so that nobody knows what a network would make of it.

        Parameters
        ----------
        sources : iterable
            As of `data.sources.read`, read as they are needed: `WINDOW` ``* batch_seconds`` of audio is held at once.
        hear : callable
            From a batch, a list of `Piece`, to a list of whatever is wanted of each.
        piece_seconds : float
            What is longer is cut at pauses, and so is what is longer than the acoustic model hears at once.
        batch_seconds : float
            Most seconds of padded audio in a batch.
        bar : progress bar, optional
            As `seconds_bar` gives it; its ``total`` grows as sources are read, and ``update`` is told what was heard.
        silence : callable
            From a silent piece to what stands for it.

        Yields
        ------
        End, list
            For each source, in order: how it ended, and what was made of each of its pieces.
        """
        found, piece_seconds, together = [], self.most(piece_seconds), 0.0 if self.alone else batch_seconds
        least = self.modules["model"].acoustic.least_seconds
        with seconds_bar() if bar is None else bar as bar:
            for window in windows(sources, WINDOW * batch_seconds, piece_seconds):
                pieces = [event for event in window if isinstance(event, Piece)]
                bar.total += sum(piece.seconds for piece in pieces)
                heard = iter(_in_batches(pieces, hear, silence, together, bar, least))
                for event in window:
                    if isinstance(event, Piece):
                        found.append(next(heard))
                    else:
                        yield event, found
                        found = []


def seconds_bar(title=None):
    """A progress bar in seconds of audio; without a title it is not shown."""
    return Bar(total=0, desc=title, unit="s", unit_scale=True, disable=title is None)


def exact_parts(model):
    """Parts of a model of speech that need more than eight bits: the front end, and what has a row for each unit."""
    levels = model.acoustic.levels()
    return [*(levels[0] if len(levels) > 1 else ()), *getattr(model, "unit_parts", ())]


def _seconds(piece, edges, frames):
    """Seconds of the source at which a piece's frames begin, and the last one ends with the piece.

    Frames that begin where the piece ends, as of sound that is a whole number of them long, share the last one's time.
    """
    end = piece.start + piece.seconds
    begin = [round(piece.start + edge / SAMPLE_RATE, 3) for edge in edges[:frames]]
    inside = max(1, sum(edge < end for edge in begin))
    last, more = begin[inside - 1 : inside], frames - inside
    shared = [edge + (end - edge) * (1 + i) / (1 + more) for edge in last for i in range(more)]
    return [*begin[:inside], *shared, end]


def _in_batches(pieces, hear, silence, batch_seconds, bar, least):
    """What is made of each piece; others are batched by their length, which counts as ``least`` seconds at least.

    In 0 seconds each is a batch.
    """
    silent = [piece.silent for piece in pieces]
    found = [silence(piece) if nothing else None for piece, nothing in zip(pieces, silent, strict=True)]
    sounding = [i for i, nothing in enumerate(silent) if not nothing]
    bar.update(sum(piece.seconds for piece in pieces) - sum(pieces[i].seconds for i in sounding))
    costs = [max(least, pieces[i].seconds) for i in sounding]
    for plan in BatchSampler(costs, batch_seconds and max(least, batch_seconds), shuffle=False):
        places = [sounding[i] for i in plan.indices]
        chosen = [pieces[i] for i in places]
        for i, result in zip(places, hear(chosen), strict=True):
            found[i] = result
        bar.update(sum(piece.seconds for piece in chosen))
    return found
