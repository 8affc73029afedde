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
from serenanet_modules.lobes.blocks.relative import Plan, Scope
from serenanet_modules.lobes.encoders import FastConformerEncoder
from serenanet_modules.lobes.frontends import DepthwiseStriding

BEFORE = 2  # encoder frames whose features a step reads again
CACHES = ("keys", "values", "windows")
OUTPUTS = ["log_probs", *(f"next_{name}" for name in CACHES)]


class Step(nn.Module):
    """A Fast Conformer's step for one of its look-aheads.

    Parameters
    ----------
    model : CTCModel
        Uses the look-ahead from then on.
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
        fast = isinstance(frontend, DepthwiseStriding) and isinstance(encoder, FastConformerEncoder)
        if not (fast and frontend.causal and encoder.look_aheads and model.car is None):
            raise UserError(
                "only a Fast Conformer with look_aheads, a causal front end and no CAR is written step by step"
            )
        if look_ahead is not None:
            try:
                model.acoustic.choose_look_ahead(look_ahead)
            except ValueError as error:
                raise UserError(str(error)) from None
        self.frontend, self.encoder, self.decoder = frontend, encoder, model.decoder
        self.chunk = encoder.look_ahead + 1

    @property
    def frames(self):
        """Features that a step reads."""
        stride = self.frontend.output_stride
        return stride * (BEFORE + self.chunk - 1) + 1

    def example(self):
        """Arguments by name: features of silence, encoder frames before and in the chunk, and empty caches."""
        layers, attention = len(self.encoder.layers), self.encoder.layers[0].attention
        window = self.encoder.layers[0].convolution.init_state(1)
        kept = torch.zeros(layers, 1, attention.n_heads, self.encoder.left_context, attention.head_size)
        features = torch.zeros(1, self.frames, self.frontend.input_size)
        said, count = torch.tensor([0]), torch.tensor([self.chunk])
        return {
            **{"features": features, "said": said, "count": count, "keys": kept, "values": kept.clone()},
            "windows": window.expand(layers, *window.shape).clone(),
        }

    def forward(self, features, said, count, keys, values, windows):
        """features (1, frames, n_mels), said and count (1,) -> log-probabilities (1, chunk, V), and the next caches.

        ``said`` are the encoder frames of earlier steps, ``count`` those of this chunk, all but of an utterance's last.
        """
        x = self.encoder.scale * self._subsampled(features, said)
        left = self.encoder.left_context
        place = torch.arange(left + self.chunk)  # the cache fills from its end
        heard = (place >= left - said[:, None]) & (place < left + count[:, None])
        plan = Plan.make(Scope(left, 0, chunk=self.chunk), x, left + self.chunk, heard)
        following = []
        for i, layer in enumerate(self.encoder.layers):
            x, state = layer.step(x, (keys[i], values[i], windows[i]), plan, left)
            following.append(state)
        return self.decoder(x).log_softmax(-1), *(torch.stack(caches) for caches in zip(*following, strict=True))

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

    def __call__(self, features):
        """features (T, n_mels) -> log-probabilities (ceil(T / 8), V)."""
        frames, chunk = self._shapes["features"][1], (self._shapes["features"][1] - 1) // 8 - 1
        count = -(-len(features) // 8)
        end = 8 * (-(-count // chunk) * chunk)
        padded = np.pad(features, ((8 * BEFORE, end - len(features) + frames), (0, 0)))
        caches = {name: np.zeros(self._shapes[name], np.float32) for name in CACHES}
        found = []
        for said in range(0, count, chunk):
            piece = padded[None, 8 * said : 8 * said + frames]
            given = {"features": piece, "said": np.array([said]), "count": np.array([min(chunk, count - said)])}
            log_probs, *following = self._session.run(None, given | caches)
            caches = dict(zip(CACHES, following, strict=True))
            found.append(log_probs[0])
        return np.concatenate(found)[:count]


@torch.no_grad()
def difference(steps, model, seconds=(0.1, 1.0, 7.3)):
    """Largest difference of a log-probability between `Steps` and the model offline, on noise of some lengths."""
    largest = 0.0
    for duration in seconds:
        wavs = 0.1 * torch.randn(1, round(16000 * duration), generator=torch.Generator().manual_seed(1))
        lengths = torch.tensor([wavs.shape[1]])
        features, _ = model.acoustic.features(wavs, lengths)
        expected = model(wavs, lengths).decoder[0].numpy()
        found = steps(features[0].numpy())
        if found.shape != expected.shape:
            return float("inf")
        largest = max(largest, float(np.abs(found - expected).max()))
    return largest
