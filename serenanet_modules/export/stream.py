"""One step of a stream as an ONNX file: features of a chunk and caches in, log-probabilities and caches out.

Shapes are fixed, as programs on phones want them: whoever runs the file begins with caches of zeros and hands back what
comes out. A step reads the frames of a chunk and those before it that the front end reads again; `Steps` shows how.
"""

import numpy as np
import onnxruntime
import torch
from torch import nn
from torch.nn import functional

from serenanet_modules.errors import UserError
from serenanet_modules.lobes.blocks.chunkwise import Chunkwise
from serenanet_modules.lobes.frontends import DepthwiseStriding

BEFORE = 2  # encoder frames whose features a step reads again


class Step(nn.Module):
    """A step of an encoder of chunks, for one of its look-aheads.

    Parameters
    ----------
    model : CTCModel
    look_ahead : int, optional
        Milliseconds.

    Raises
    ------
    UserError
        For a model of other parts, and a look-ahead that it does not have.
    """

    def __init__(self, model, look_ahead=None):
        super().__init__()
        frontend, encoder = getattr(model.acoustic, "frontend", None), getattr(model.acoustic, "encoder", None)
        eighth = isinstance(frontend, DepthwiseStriding) and frontend.causal
        if not (eighth and isinstance(encoder, Chunkwise) and encoder.look_aheads and model.car is None):
            raise UserError(
                "--to step needs a model with look_aheads, a causal frontends/striding.yaml and car: null, such as "
                "fast_conformer_streaming.yaml"
            )
        try:
            ahead, *_, self._begun = model.init_state(1, look_ahead)["acoustic"]["encoder"]
        except ValueError as error:
            raise UserError(str(error)) from None
        self.frontend, self.encoder, self.decoder, self.chunk = frontend, encoder, model.decoder, ahead + 1
        self.unfolding = model.acoustic.unfolding
        self._places = {}  # a cache's name -> the layers that have one, and where in their states it is
        for i, layer in enumerate(encoder.layers):
            for place, name in enumerate(layer.carries):
                self._places.setdefault(name, []).append((i, place))

    @property
    def frames(self):
        """Features that a step reads."""
        stride = self.frontend.output_stride
        return stride * (BEFORE + self.chunk - 1) + 1

    @property
    def outputs(self):
        """Names of what `forward` gives."""
        return ["log_probs", *(f"next_{name}" for name in self._places)]

    def example(self):
        """Arguments by name: features of silence, encoder frames before and in the chunk, and empty caches."""
        features = torch.zeros(1, self.frames, self.frontend.input_size)
        said, count = torch.tensor([0]), torch.tensor([self.chunk])
        left, caches = self.encoder.left_context, self._cached(self._begun)
        full = {name: c if c.numel() else c.new_zeros(*c.shape[:3], left, *c.shape[4:]) for name, c in caches.items()}
        return {"features": features, "said": said, "count": count, **full}

    def forward(self, features, said, count, **caches):
        """features (1, frames, n_mels), said and count (1,) -> log-probabilities (1, T, V), and the next caches.

        ``said`` are the encoder frames of earlier steps, ``count`` those of this chunk, all but of an utterance's last;
        T is the frames of a chunk times the labels that each says.
        """
        left = self.encoder.left_context
        place = torch.arange(left + self.chunk)  # the cache fills from its end
        heard = (place >= left - said[:, None]) & (place < left + count[:, None])
        carried = [[None] * len(layer.carries) for layer in self.encoder.layers]
        for name, places in self._places.items():
            for (layer, at), tensor in zip(places, caches[name], strict=True):
                carried[layer][at] = tensor
        x = self._subsampled(features, said)
        plan = self.encoder.plan(self.encoder.scope(self.chunk - 1), x, left + self.chunk, heard)
        x, following = self.encoder.through(x, plan, [tuple(state) for state in carried])
        x = x if self.unfolding is None else self.unfolding.step(x)
        return self.decoder(x).log_softmax(-1), *self._cached(following).values()

    def _cached(self, states):
        """By name, tensors of the layers that have one, stacked."""
        return {name: torch.stack([states[i][at] for i, at in places]) for name, places in self._places.items()}

    def _subsampled(self, x, said):
        """As the front end does, where the frames before the first one are zeros for each of its convolutions."""
        frontend, stride = self.frontend, 2
        h, _ = frontend.convolved(frontend.first, x.unsqueeze(1), None)
        h = functional.relu(h)
        for depthwise, pointwise in zip(frontend.depthwise, frontend.pointwise, strict=True):
            position = stride * torch.arange(h.shape[2]) + frontend.output_stride * (said[:, None] - BEFORE)
            h = h.masked_fill((position < 0)[:, None, :, None], 0.0)
            h, _ = frontend.convolved(depthwise, h, None)
            h = functional.relu(pointwise(h.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
            stride *= 2
        return frontend.project(h.permute(0, 2, 3, 1).flatten(2))[:, BEFORE:]


class Steps:
    """Runs a written file over features, step by step.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
        self._shapes = {value.name: value.shape for value in self._session.get_inputs()}
        self._caches = [value.name.removeprefix("next_") for value in self._session.get_outputs()[1:]]

    def __call__(self, features):
        """features (T, n_mels) -> log-probabilities (ceil(T / 8) times the labels of a frame, V)."""
        frames, chunk = self._shapes["features"][1], (self._shapes["features"][1] - 1) // 8 - 1
        count = -(-len(features) // 8)
        end = 8 * (-(-count // chunk) * chunk)
        padded = np.pad(features, ((8 * BEFORE, end - len(features) + frames), (0, 0)))
        caches = {name: np.zeros(self._shapes[name], np.float32) for name in self._caches}
        found = []
        for said in range(0, count, chunk):
            piece = padded[None, 8 * said : 8 * said + frames]
            given = {"features": piece, "said": np.array([said]), "count": np.array([min(chunk, count - said)])}
            log_probs, *following = self._session.run(None, given | caches)
            caches = dict(zip(self._caches, following, strict=True))
            found.append(log_probs[0])
        return np.concatenate(found)[: count * len(found[0]) // chunk]


@torch.no_grad()
def difference(steps, model, look_ahead=None, seconds=(0.1, 1.0, 7.3)):
    """Largest difference of a log-probability between `Steps` and the model in one piece, on noise of some lengths."""
    largest = 0.0
    for duration in seconds:
        wavs = 0.1 * torch.randn(1, round(16000 * duration), generator=torch.Generator().manual_seed(1))
        lengths = torch.tensor([wavs.shape[1]])
        features, _ = model.acoustic.features(wavs, lengths)
        expected = model.finish(wavs, model.init_state(1, look_ahead)).decoder[0].numpy()
        found = steps(features[0].numpy())
        if found.shape != expected.shape:
            return float("inf")
        largest = max(largest, float(np.abs(found - expected).max()))
    return largest
