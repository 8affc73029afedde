"""Encoders whose frames see their chunk and what came before it, one model for chunks of several sizes (2312.17279)."""

import torch

from serenanet_modules.lobes.blocks.scope import Scope
from serenanet_modules.lobes.blocks.streaming import CannotStream, Streaming

ALL = "all"  # the look-ahead to the end of the utterance


class Chunkwise(Streaming):
    """What an encoder of several look-aheads has; a chunk is a frame and as many more as it looks ahead.

    A pass may say its look-ahead; if not, training draws one for each batch, and use begins with the first.
    A stream has one for itself: with the same weights several go on side by side.

    Attributes
    ----------
    look_aheads : tuple
        Frames, or `ALL`; none where the encoder reads whole utterances only.
    left_context : int
        Frames before its chunk that a frame attends to, whole chunks of all sizes.
    layers : ModuleList
        Each has ``init_state(batch)``.
    """

    look_aheads = ()
    left_context = 0

    @property
    def look_ahead(self):
        """Frames, of streams that are not told how many: the first number of `look_aheads`."""
        return next((ahead for ahead in self.look_aheads if ahead != ALL), 0)

    def plan(self, scope, x, total, valid=None):
        """What `through` needs of who attends to whom; arguments as of `scope.blocks_of`."""
        raise NotImplementedError

    def through(self, x, plan, carried):
        """x (B, T, d_model), T ≥ 1, through layers that go on: y of the same shape, and the next states by layer."""
        raise NotImplementedError

    def scope(self, look_ahead=None):
        """The `Scope` of a pass."""
        if not self.look_aheads:
            return Scope()
        if look_ahead is None:
            place = int(torch.randint(len(self.look_aheads), ())) if self.training else 0
            look_ahead = self.look_aheads[place]
        return Scope() if look_ahead == ALL else Scope(self.left_context, 0, chunk=look_ahead + 1)

    def init_state(self, batch, look_ahead=None):
        """What `step` carries before the first frame.

        Returns
        -------
        tuple
            The look-ahead; how many frames the attention keeps; frames (B, ≤ look-ahead, d_model) of an unfinished
            chunk; and one entry a layer.

        Raises
        ------
        CannotStream
            Without look-aheads.
        ValueError
            For a look-ahead that it does not have.
        """
        had = [ahead for ahead in self.look_aheads if ahead != ALL]
        if not had:
            raise CannotStream(
                f"{type(self).__name__} reads whole utterances; set look_aheads, such as [0], and train again"
            )
        if look_ahead is not None and look_ahead not in had:
            raise ValueError(f"look_ahead is {look_ahead} frames, but the encoder has {', '.join(map(str, had))}")
        look_ahead = self.look_ahead if look_ahead is None else look_ahead
        nothing = next(self.parameters()).new_zeros(batch, 0, self.d_model)
        return look_ahead, 0, nothing, tuple(layer.init_state(batch) for layer in self.layers)

    def step(self, x, state):
        """Continue by x (B, T, d_model), any T: y of the chunks that are whole now, and the next state."""
        look_ahead, kept, waiting, carried = state
        x = torch.cat([waiting, x], dim=1)
        whole = x.shape[1] // (look_ahead + 1) * (look_ahead + 1)
        y, carried = self._go_on(x[:, :whole], look_ahead, kept, carried)
        return y, (look_ahead, min(self.left_context, kept + whole), x[:, whole:], carried)

    def finish(self, x, state):
        """All that is left after the last frames x (B, T, d_model), T ≥ 0: the last chunk may be short."""
        look_ahead, kept, waiting, carried = state
        return self._go_on(torch.cat([waiting, x], dim=1), look_ahead, kept, carried)[0]

    def _go_on(self, x, look_ahead, kept, carried):
        if not x.shape[1]:
            return x, carried
        return self.through(x, self.plan(self.scope(look_ahead), x, kept + x.shape[1]), carried)


def check_look_aheads(look_aheads, left_context):
    """Refuse what cannot be.

    Raises
    ------
    ValueError
    """
    if not isinstance(look_aheads, (list, tuple, type(None))):
        raise ValueError(f"look_aheads is a list of numbers of frames, not {look_aheads!r}")
    frames = [ahead for ahead in look_aheads or [] if ahead != ALL]
    if wrong := [ahead for ahead in [left_context, *frames] if type(ahead) is not int or ahead < 0]:
        raise ValueError(f"left_context and look_aheads are numbers of frames, 0 at least, or {ALL}, not {wrong[0]!r}")
    if wrong := [ahead for ahead in look_aheads or [] if look_aheads.count(ahead) > 1]:
        raise ValueError(f"look_aheads has {wrong[0]} twice; a model learns each once")
    if wrong := [ahead for ahead in frames if left_context % (ahead + 1)]:
        raise ValueError(
            f"left_context {left_context} is no multiple of {wrong[0] + 1} frames, the chunk of look-ahead {wrong[0]}"
        )
