"""Pieces of any length give what the whole gives, for every part that can go on piece by piece; the others say so.

Of several look-aheads it is so for each.
"""

import random
from contextlib import contextmanager
from functools import partial

import pytest
import torch
from torch import nn

from serenanet_modules.inference.streaming import STREAMING
from serenanet_modules.lobes.blocks.chunking import DynamicChunking, FixedPooling
from serenanet_modules.lobes.blocks.chunkwise import ALL
from serenanet_modules.lobes.blocks.mamba2 import Mamba2
from serenanet_modules.lobes.blocks.parts import Part
from serenanet_modules.lobes.blocks.streaming import CannotStream
from serenanet_modules.lobes.ctc_model import CTCModel
from serenanet_modules.lobes.decoders.attention_decoder import LabelLM
from serenanet_modules.lobes.encoders.conformer import ConformerEncoder
from serenanet_modules.lobes.encoders.conmamba import ConMambaEncoder
from serenanet_modules.lobes.encoders.fast_conformer import FastConformerEncoder
from serenanet_modules.lobes.encoders.hmamba import ChunkedEncoder
from serenanet_modules.lobes.encoders.rotary import RotaryTransformerEncoder
from serenanet_modules.lobes.encoders.ssm import SSMEncoder
from serenanet_modules.lobes.features import AbsoluteLogMel, LogMel
from serenanet_modules.lobes.frontends.athm import ATHM
from serenanet_modules.lobes.frontends.conv2d import ConvFrontend
from serenanet_modules.lobes.frontends.strided import StridedConv
from serenanet_modules.lobes.frontends.striding import DepthwiseStriding
from serenanet_modules.lobes.heads.car import CAR
from serenanet_modules.lobes.level import FIRST
from serenanet_modules.lobes.pretraining_model import PretrainingModel
from serenanet_modules.lobes.spectral import SpectralModel
from tests.support.given import Given
from tests.support.parts import SIZES, everything

D, UNITS, HOP = 16, 7, 160

causal = partial(ConMambaEncoder, D, n_layers=2, d_ffn=32, kernel_size=5, d_state=4, causal=True)
fast = partial(FastConformerEncoder, D, n_heads=2, n_layers=2, d_ffn=32, kernel_size=5)
hybrid = partial(SSMEncoder, D, n_layers=4, d_ffn=32, attention_every=2, n_heads=2, headdim=8, d_state=4)
two_way = partial(ConMambaEncoder, D, n_layers=1, d_ffn=32, kernel_size=5, d_state=4)


def chunked(chunking=None, outer=None, inner=None, **options):
    chunking = chunking or DynamicChunking(D)
    for parameter in chunking.parameters():
        nn.init.normal_(parameter, std=0.5)
    return ChunkedEncoder(outer or causal(), chunking, inner or causal(), **options)


FRONTENDS = {
    "athm": lambda n: ATHM(n, D, gate_size=8),
    "athm_stride_4": lambda n: ATHM(n, D, gate_size=8, output_stride=4),
    "athm_nonlinear": lambda n: ATHM(n, D, gate_size=8, nonlinear=True),
    "athm_3": lambda n: ATHM(n, D, resolutions=[3], output_stride=2),
    "conv1d": lambda n: StridedConv(n, D, output_stride=4),
    "conv2d": lambda n: ConvFrontend(n, D, channels=(4, 3)),
    "striding": lambda n: DepthwiseStriding(n, D, filters=6),
    "striding_causal": lambda n: DepthwiseStriding(n, D, filters=6, causal=True),
}
ENCODERS = {
    "conmamba": causal,
    "conmamba_2": partial(causal, mixer="mamba2", headdim=8),
    "conmamba_ahead": partial(causal, right_context=2),
    "conmamba_no_convolution": partial(causal, kernel_size=None),
    "fast_conformer": partial(fast, look_aheads=[4, 1, 0], left_context=10),
    "hmamba": chunked,
    "ssm": partial(hybrid, look_aheads=[4, "all", 0], left_context=10),
    "hmamba_ahead": lambda: chunked(DynamicChunking(D, max_gap=3), outer=causal(right_context=1)),
}
CARS = {
    "car": lambda: CAR(D, UNITS, d_model=8, n_layers=2),
    "car_2": lambda: CAR(D, UNITS, d_model=8, block=partial(Mamba2, headdim=4)),
}


def random_cut(x, rng, longest):
    """Pieces of x (B, T, ...) of random lengths, some of them empty, all joined x."""
    start, pieces = 0, []
    while start < x.shape[1]:
        length = rng.randint(0, longest)
        pieces.append(x[:, start : start + length])
        start += length
    return pieces


def pieces_of(x, rng, grain=1):
    """Ways to cut x: all at once, single frames of so many samples, at random; the last piece is what `finish` gets."""
    yield [x]
    yield [*x.split(grain, dim=1), x[:, :0]]
    for longest in (3, 9, 40):
        yield random_cut(x, rng, longest * grain)


def streamed(part, pieces, *look_ahead):
    """What a part gives for the pieces, in pieces."""
    state = part.init_state(len(pieces[0]), *look_ahead)
    for piece in pieces[:-1]:
        y, state = part.step(piece, state)
        yield y
    yield part.finish(pieces[-1], state)


def assert_equal(part, whole, x, seed=0):
    """Joined pieces of output are ``whole``, however x is cut."""
    for pieces in pieces_of(x, random.Random(seed)):
        y = torch.cat([*streamed(part, pieces)], dim=1)
        assert y.shape == whole.shape
        torch.testing.assert_close(y, whole, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("name", FRONTENDS)
@pytest.mark.parametrize("frames", [1, 3, 4, 5, 37])
def test_front_ends(name, frames):
    """Also where the utterance ends within a block, or its mirrored edges meet."""
    frontend, x = FRONTENDS[name](20).eval(), torch.randn(2, frames, 20)
    assert_equal(frontend, frontend(x, torch.full((2,), frames))[0], x, frames)


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("frames", [1, 2, 29])
def test_encoders(name, frames):
    encoder, x = ENCODERS[name]().eval(), torch.randn(3, frames, D)
    assert_equal(encoder, encoder(x, torch.full((3,), frames))[0], x, frames)


@pytest.mark.parametrize("car", CARS)
def test_refinements(car):
    lobe, x = CARS[car]().eval(), torch.randn(3, 13, D)
    assert_equal(lobe, lobe(x, torch.full((3,), 13))[0], x)


@pytest.mark.parametrize("thing", [t for t in everything() if t.kind in ("frontends", "encoders", "models")], ids=str)
def test_whatever_hparams_hold(thing):
    """Each part and model of hparams/, those of tomorrow too, gives in pieces what it gives as a whole, or refuses."""
    part = thing.build()
    if isinstance(part, LabelLM | PretrainingModel):
        return  # goes on by labels: test_attention_decoder.py; is for training alone
    if thing.kind == "models":
        x = torch.randn(2, 42 * HOP + 30)
    else:
        x = torch.randn(2, 43, SIZES["d_model" if thing.kind == "encoders" else "n_mels"])
    try:
        part.init_state(2)
    except CannotStream:
        return
    grain, encoder = (HOP, part.acoustic.encoder) if thing.kind == "models" else (1, part)
    for frames in frames_of(encoder):
        asked = asked_of(part, frames)
        with at(encoder, frames):
            whole = part(x, torch.full((2,), x.shape[1]))[0]
        for pieces in pieces_of(x, random.Random(0), grain):
            outputs = [y[0] if isinstance(y, tuple) else y for y in streamed(part, pieces, *asked)]
            joined = torch.cat(outputs, dim=1)
            far = float((joined - whole).abs().max().detach())
            print(f"largest difference {far:.1e} at a look-ahead of {frames} frames")
            torch.testing.assert_close(joined, whole, rtol=1e-4, atol=1e-4)


def frames_of(encoder):
    """Look-aheads of its streams, in frames; None alone for one without a choice."""
    return [ahead for ahead in getattr(encoder, "look_aheads", ()) if ahead != ALL] or [None]


def asked_of(part, frames):
    """What `init_state` is told for so many frames: of a model milliseconds."""
    if frames is None:
        return []
    if not isinstance(part, CTCModel):
        return [frames]
    return [part.acoustic.look_aheads[frames_of(part.acoustic.encoder).index(frames)]]


@contextmanager
def at(encoder, frames):
    """Within it the whole is heard with so many frames of look-ahead."""
    with pytest.MonkeyPatch.context() as patch:
        if frames is not None:
            patch.setattr(encoder, "look_aheads", (frames,))
        yield


@pytest.mark.parametrize("samples", [1, 159, 160, 199, 200, 4000, 15999, 16041, 40000])
@pytest.mark.parametrize("n_fft", [512, 1024])
@pytest.mark.parametrize("kind", [LogMel, AbsoluteLogMel])
def test_features(samples, n_fft, kind):
    """Log-mel frames at both edges too; loud sound makes differences show."""
    features = kind(n_mels=20, n_fft=n_fft)
    loudness = torch.rand(3, samples // 100 + 40).pow(3).repeat_interleave(100, 1)
    features.fit([(torch.randn(1, 4000) * loudness[:1, :4000], torch.tensor([4000]))])
    wavs = torch.randn(2, samples) * loudness[1:, :samples]
    whole, frames = features(wavs, torch.full((2,), samples))
    assert whole.shape[1] == frames[0]
    cuts = (random_cut(wavs, random.Random(samples), longest) for longest in (50, 900))
    for pieces in ([wavs], [wavs, wavs[:, :0]], *cuts):
        torch.testing.assert_close(torch.cat([*streamed(features, pieces)], dim=1), whole, rtol=1e-5, atol=1e-5)


CHOICES = [(name, frames) for name, make in ENCODERS.items() for frames in frames_of(make())]


@pytest.mark.parametrize("frontend", FRONTENDS)
@pytest.mark.parametrize(("encoder", "frames"), CHOICES)
def test_models(frontend, encoder, frames):
    """Distributions of each source of a model with CAR, and of one that says two labels a frame."""
    for car, times in ((CARS["car"](), 1), (None, 1 if ENCODERS[encoder]().shortens else 2)):
        acoustic = SpectralModel(LogMel(20, 512), FRONTENDS[frontend](20), ENCODERS[encoder](), labels_per_frame=times)
        model = CTCModel(acoustic, UNITS, car).eval()
        wavs = torch.randn(2, 42 * HOP + 1)
        asked = asked_of(model, frames)
        with at(acoustic.encoder, frames):
            whole = model(wavs, torch.full((2,), wavs.shape[1]))
        for pieces in (random_cut(wavs, random.Random(7), longest * HOP) for longest in (9, 40)):
            outputs = [*streamed(model, pieces, *asked)]
            assert all(o.lengths.tolist() == [o.decoder.shape[1]] * 2 for o in outputs)
            for scoring in model.scorings:
                got = torch.cat([o.log_probs(scoring) for o in outputs], dim=1)
                torch.testing.assert_close(got, whole.log_probs(scoring), rtol=0, atol=1e-4)


@pytest.mark.parametrize("frontend", FRONTENDS)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_look_ahead_is_what_an_output_waits_for(frontend, encoder):
    """Output frame j comes with input frame ``stride j + look_ahead`` at the latest, and some with no earlier one."""
    acoustic = SpectralModel(Given(), FRONTENDS[frontend](20), ENCODERS[encoder]())
    model, stride = CTCModel(acoustic, UNITS).eval(), acoustic.hop
    state, said, waits = model.init_state(1), 0, []
    for t, frame in enumerate(torch.randn(1, 60, 20).split(1, dim=1)):
        output, state = model.step(frame, state)
        waits += [t - stride * j for j in range(said, said + output.decoder.shape[1])]
        said += output.decoder.shape[1]
    assert max(waits) == acoustic.delay()


def test_features_look_ahead():
    """A frame comes with the last sample under its window, which the frame hears; the first second comes as a whole."""
    features = LogMel(n_mels=20, n_fft=512)
    wavs = torch.randn(1, (FIRST + 5) * HOP)
    for frame in (FIRST - 1, FIRST + 2):
        needed = frame * HOP + features.look_ahead  # samples for all frames to this one
        for samples, frames in ((needed - 1, frame), (needed, frame + 1)):
            found = features.step(wavs[:, :samples], features.init_state(1))[0].shape[1]
            assert found == (frames if frames >= FIRST else 0)
        changed = wavs.clone()
        changed[0, needed:] = 50.0
        heard = [features(w, torch.tensor([wavs.shape[1]]))[0][0, : frame + 1] for w in (wavs, changed)]
        torch.testing.assert_close(*heard)
        changed[0, needed - 1] = 50.0
        last = features(changed, torch.tensor([wavs.shape[1]]))[0][0, frame]
        assert not torch.allclose(heard[0][frame], last)


@pytest.mark.parametrize(
    ("encoder", "car", "words"),
    [
        (two_way, None, "ConMambaEncoder is bidirectional; set causal: true and train again"),
        (partial(RotaryTransformerEncoder, D, 2, 1, 32), None, "RotaryTransformerEncoder reads whole utterances only"),
        (partial(ConformerEncoder, D, 2, 1, 32), None, "ConformerEncoder reads whole utterances only"),
        (fast, None, r"FastConformerEncoder reads whole utterances; set look_aheads, such as \[0\]"),
        (hybrid, None, r"SSMEncoder reads whole utterances; set look_aheads, such as \[0\]"),
        (lambda: chunked(outer=two_way()), None, "ConMambaEncoder is bidirectional"),
        (lambda: chunked(inner=two_way()), None, "ConMambaEncoder is bidirectional"),
        (lambda: chunked(inner=causal(right_context=1)), None, "right_context: 0"),
        (lambda: chunked(FixedPooling(D)), None, "DynamicChunking"),
        (lambda: chunked(read="chunks"), None, "read: frames"),
        (causal, partial(CAR, D, UNITS, d_model=8, bidirectional=True), "CAR is bidirectional"),
    ],
)
def test_what_cannot_stream_says_so(encoder, car, words):
    model = CTCModel(SpectralModel(Given(), FRONTENDS["conv1d"](20), encoder()), UNITS, car and car())
    with pytest.raises(CannotStream, match=words):
        model.init_state(1)


@pytest.mark.parametrize("file", STREAMING)
def test_models_that_are_said_to_stream(file):
    model = next(thing for thing in everything() if f"{thing.name}.yaml" == file).build()
    assert model.init_state(1)


def test_parts_without_the_protocol_are_named():
    class Whole(Part):
        pass

    with pytest.raises(CannotStream, match="Whole reads whole utterances only"):
        Whole().init_state(1)


@pytest.mark.parametrize(
    "options", [{"right_context": 5}, {"right_context": -1}, {"right_context": 1, "causal": False}]
)
def test_right_contexts_that_cannot_be(options):
    with pytest.raises(ValueError, match="right_context is"):
        causal(**options)
