"""H-Mamba: some layers at frame rate, learned chunks, the others at chunk rate (after H-Net, arXiv 2507.07955)."""

import torch
from torch.utils._pytree import tree_map

from serenanet_modules.lobes.blocks.chunking import smooth_step
from serenanet_modules.lobes.blocks.parts import Encoder, Extras, Frames, Picture
from serenanet_modules.lobes.blocks.streaming import CannotStream, Streaming


def chunk_statistics(frames, chunks):
    """Boundaries per frame and frames per chunk, of their numbers.

    Examples
    --------
    >>> chunk_statistics(10, 4)
    {'boundary_rate': 0.4, 'compression': 2.5}
    """
    return {"boundary_rate": chunks / frames, "compression": frames / chunks}


class ChunkedEncoder(Streaming, Encoder):
    """An encoder in two rates around a chunking of `lobes.chunking`.

    Parameters
    ----------
    outer, inner : Encoder
        Of one size, at frame rate and at chunk rate.
    chunking : Module
        `DynamicChunking` or `FixedPooling`.
    read : {"frames", "chunks"}
        What comes out: frames again, or the chunks, with their counts as lengths.

    Examples
    --------
    >>> from serenanet_modules.lobes.blocks.chunking import FixedPooling
    >>> from serenanet_modules.lobes.encoders.conmamba import ConMambaEncoder
    >>> outer, inner = (ConMambaEncoder(16, n_layers=1, d_ffn=32, kernel_size=3) for _ in range(2))
    >>> x, lengths = torch.randn(2, 9, 16), torch.tensor([9, 4])
    >>> ChunkedEncoder(outer, FixedPooling(16, stride=3), inner)(x, lengths).x.shape
    torch.Size([2, 9, 16])
    >>> ChunkedEncoder(outer, FixedPooling(16, stride=3), inner, read="chunks")(x, lengths).lengths
    tensor([3, 2])
    """

    def __init__(self, outer, chunking, inner, read="frames"):
        super().__init__()
        if read not in ("frames", "chunks"):
            raise ValueError(f"read is {read!r}; it must be 'frames' or 'chunks'")
        self.outer, self.chunking, self.inner, self.read = outer, chunking, inner, read

    @property
    def shortens(self):
        """Whether lengths differ from those that went in."""
        return self.read == "chunks"

    def levels(self):
        """Outer layers, then inner ones; the chunking belongs to the first of these."""
        first, *rest = self.inner.levels()
        return [*self.outer.levels(), [self.chunking, *first], *rest]

    def forward(self, x, lengths, least=None):
        """x (B, T, d_model), lengths (B,) -> `Frames` of the same shape, or chunks (B, K, d_model) and their counts.

        Their extras say where chunks begin and how probable that was, and hold the ratio loss of learned chunks.
        """
        outer = self.outer(x, lengths)
        least = least if self.shortens else None  # where frames come out, their number does not hang on the chunks
        chunks, counts, route = self.chunking.down(outer.x, outer.lengths, least)
        inner = self.inner(chunks, counts)
        extras = outer.extras.joined(inner.extras).joined(_extras(route))
        if self.shortens:
            return Frames(self.chunking.read(inner.x, route), counts, extras, route.edges)
        return Frames(self.chunking.up(inner.x, route, outer.x), lengths, extras)

    # --- frame by frame -------------------------------------------------------------------------------------------

    @property
    def look_ahead(self):
        """Frames that the output waits for."""
        return self.outer.look_ahead

    def init_state(self, batch):
        """What `step` carries before the first frame.

        Raises
        ------
        CannotStream
            If a part reads backwards or what comes out are chunks, and for fixed pooling, whose first frames hear the
            whole chunk.
        """
        if self.shortens or not self.chunking.streams:
            raise CannotStream(
                "a ChunkedEncoder streams only with read: frames and DynamicChunking; set both and train again"
            )
        if self.inner.look_ahead:
            raise CannotStream("the inner layers of a ChunkedEncoder need right_context: 0 to stream")
        parameter = next(self.parameters())
        size = self.chunking.query.in_features
        return {
            "outer": self.outer.init_state(batch),
            "inner": self.inner.init_state(batch),
            "frame": parameter.new_zeros(batch, 0, size),  # the last one, once there is one
            "smoothed": parameter.new_zeros(batch, size, dtype=torch.float32),
            "gap": torch.zeros(batch, dtype=torch.int64, device=parameter.device),  # frames since the last boundary
        }

    def step(self, x, state):
        """Continue by x (B, T, d_model), any T: y of `forward`, `look_ahead` frames late, and the next state."""
        x, outer = self.outer.step(x, state["outer"])
        return self._step_frames(x, {**state, "outer": outer})

    def finish(self, x, state):
        """All that is left after the last frames x (B, T, d_model), T ≥ 0."""
        return self._step_frames(self.outer.finish(x, state["outer"]), state)[0]

    def _step_frames(self, x, state):
        """The outer layers' output x (B, T, d_model), frame by frame."""
        outputs = [x[:, :0]]
        for t in range(x.shape[1]):
            y, state = self._step_frame(x[:, t : t + 1], state)
            outputs.append(y)
        return torch.cat(outputs, dim=1), state

    def _step_frame(self, x, state):
        """One frame x (B, 1, d_model) of each utterance; where a chunk begins, the inner layers take a step."""
        p = self.chunking.probabilities(state["frame"], x)  # (B, 1)
        gap = state["gap"] + 1
        begins = p[:, 0] > 0.5
        if self.chunking.max_gap is not None:
            begins = begins | (gap >= self.chunking.max_gap)
        gap = torch.where(begins, 0, gap)
        smoothed, inner = state["smoothed"], state["inner"]
        rows = begins.nonzero().squeeze(1)
        if len(rows):
            y, stepped = self.inner.step(x[rows], tree_map(lambda part: part[rows], inner))
            inner = tree_map(lambda part, new: part.index_copy(0, rows, new), inner, stepped)
            smoothed = smoothed.index_copy(0, rows, smooth_step(y[:, 0], p[rows], smoothed[rows]))
        y = self.chunking.merge(smoothed.unsqueeze(1), p, begins.unsqueeze(1), x)
        return y, {**state, "inner": inner, "frame": x, "smoothed": smoothed, "gap": gap}


def _extras(route):
    frames, chunks = route.lengths.sum(), route.counts.sum()
    return Extras(
        regularisers={} if route.ratio_loss is None else {"ratio_loss": route.ratio_loss},
        scalars=chunk_statistics(frames, chunks),
        pictures={"chunk": Picture(route.probabilities), "start": Picture(route.boundaries)},
        chunks=torch.stack([frames, chunks]),
    )
