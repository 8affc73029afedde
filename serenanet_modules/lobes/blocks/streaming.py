"""Parts that go on with an utterance piece by piece.

The protocol: ``init_state(batch)`` gives what is carried; ``step(x, state) -> (y, state)`` takes any number of frames
and gives those that they complete; ``finish(x, state) -> y`` takes the last frames, possibly none, and gives all that
is left. The pieces of y, joined, are what ``forward`` gives for the joined pieces of x. ``look_ahead`` says how many
frames after its own the output waits for.
"""

import torch


class CannotStream(TypeError):
    """A part that has to hear the end before it says anything; the message is what can be done."""


class Streaming:
    """What a part has that needs no later frames."""

    look_ahead = 0  # input frames

    def finish(self, x, state):
        """The rest of the output, after the last frames x (B, T, F), T ≥ 0."""
        return self.step(x, state)[0]


class Recurrent(Streaming):
    """A block whose ``_run(x, window, state)`` goes on from a convolution's last inputs and a recurrence's state."""

    def step(self, x, state):
        """Continue by any number of frames, as if `forward` had seen all that came before too.

        Parameters
        ----------
        x : Tensor
            The next frames (B, T, d_model).
        state : tuple
            From `init_state` or from the last call; it is not changed.

        Returns
        -------
        (Tensor, tuple)
            y (B, T, d_model) and the state after these frames; both carry gradients.
        """
        return self._run(x, *state) if x.shape[1] else (x, state)


def step_through(layers, x, state):
    """Continue through layers that stream by x (B, T, d): the last one's y, and the next states, one a layer."""
    following = []
    for layer, carried in zip(layers, state, strict=True):
        x, carried = layer.step(x, carried)
        following.append(carried)
    return x, tuple(following)


class Blockwise(Streaming):
    """A front end whose ``forward`` treats blocks of frames, each by itself or with some frames before it.

    Attributes
    ----------
    period : int
        Frames in a block, a multiple of ``output_stride``.
    lead : int
        How many of a block's frames its output waits for, by default all.
    context : int
        Heard frames that later blocks read too, the last of them the last one that an output waited for.
    input_size, d_model, output_stride : int
        As the front end was made.
    """

    context = 0

    @property
    def lead(self):
        """See above."""
        return self.period

    @property
    def look_ahead(self):
        """Input frames: the first output of a block waits for the last frame that any of it waits for."""
        return self.lead - 1

    def init_state(self, batch):
        """What `step` carries, none at first: the context (B, ≤ context, F), and frames of an unfinished block."""
        nothing = next(self.parameters()).new_zeros(batch, 0, self.input_size)
        return nothing, nothing

    def step(self, x, state):
        """Continue by x (B, T, F), any T: y (B, T', d_model) of the blocks that can be said now, and the next state."""
        before, waiting = state
        x = torch.cat([waiting, x], dim=1)
        begun = before.shape[1] + x.shape[1] - self.lead
        whole = max(0, begun // self.period * self.period + self.lead - before.shape[1])
        x, waiting = x[:, :whole], x[:, whole:]
        y, before = self._blocks(before, x)
        return y, (before, waiting)

    def finish(self, x, state):
        """All that is left after the last frames x (B, T, F), T ≥ 0: the last block may be short."""
        before, waiting = state
        return self._blocks(before, torch.cat([waiting, x], dim=1))[0]

    def _blocks(self, before, x):
        """x (B, T, F) as ``forward`` would see it behind ``before``, and the context of what follows."""
        if not x.shape[1]:
            return x.new_zeros(len(x), 0, self.d_model), before
        x = torch.cat([before, x], dim=1)
        y = self(x, torch.full((len(x),), x.shape[1], device=x.device)).x
        known = -(-before.shape[1] // self.output_stride)
        return y[:, known:], x[:, max(0, x.shape[1] - self.context) :]
