"""Public encoders give what transformers give of an utterance alone, whatever stands beside it.

That batch mates and padding change nothing of any family is held by test_mates_and_padding.py.
"""

import numpy as np
import pytest
import torch
import transformers

from serenanet_modules.lobes.acoustic import Conditions
from serenanet_modules.lobes.encoders import RotaryTransformerEncoder
from serenanet_modules.lobes.pretrained import EncodedModel, PublicEncoder
from serenanet_modules.lobes.pretrained.families import FAMILIES, known
from serenanet_modules.lobes.pretrained.fbank import SeamlessFbank
from serenanet_modules.lobes.pretrained.log_mel import WhisperLogMel
from serenanet_modules.lobes.pretrained.model import LayerMix
from serenanet_modules.lobes.pretrained.network import LEVEL
from serenanet_modules.runs.public_encoder import EncoderFolder
from serenanet_modules.runs.public_parts import take_weights
from tests.support.encoders import TINY, save_encoder
from tests.support.families import sounds

EXACT = {"rtol": 0, "atol": 1e-5}


def assert_same(got, want):
    """To 1e-5 of the largest value."""
    torch.testing.assert_close(got, want, rtol=0, atol=1e-5 * max(1.0, float(want.abs().max())))


@pytest.fixture(scope="module", name="folders")
def _folders(tmp_path_factory):
    """A function of a family's name: its folder."""
    made = {}

    def folder(name):
        if name not in made:
            made[name] = save_encoder(tmp_path_factory.mktemp("encoders") / name, name)
        return made[name]

    return folder


def opened(folder, **options):
    """A `PublicEncoder` of a folder."""
    config = EncoderFolder(str(folder)).arguments()
    encoder = PublicEncoder(str(folder), config, **options)
    take_weights(encoder)
    return encoder.eval()


def by_transformers(folder, samples, **options):
    """Output of transformers' model and feature extractor for one utterance (S,)."""
    extract = transformers.AutoFeatureExtractor.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    if isinstance(extract, transformers.SeamlessM4TFeatureExtractor):
        return model(input_features=fbank(extract, samples).unsqueeze(0), **options)
    if not getattr(extract, "do_normalize", False):
        samples = LEVEL * (samples - samples.mean()) / samples.std(correction=0)
    given = extract(samples.numpy(), sampling_rate=16000, return_tensors="pt")
    if isinstance(model, transformers.WhisperModel):
        return model.encoder(given["input_features"], **options)
    return model(**given, **options)


def fbank(extract, samples):
    """What a `SeamlessM4TFeatureExtractor` gives, normalised in double precision: in single its mean is off by 1e-5."""
    x = torch.from_numpy(extract._extract_fbank_features(samples.numpy())).double()
    x = (x - x.mean(0)) / (x.var(0) + 1e-7).sqrt()
    return x[: len(x) // 2 * 2].unflatten(0, (-1, 2)).flatten(1).float()


def whole(samples):
    return samples.unsqueeze(0), torch.tensor([len(samples)])


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("count", [1601, 9000, 15913])
@torch.no_grad()
def test_an_utterance_alone(folders, name, count):
    """The frames are those of transformers' model behind transformers' feature extractor."""
    samples = torch.from_numpy(sounds(1, count)[0])
    want = by_transformers(folders(name), samples).last_hidden_state[0]
    got = opened(folders(name), window="padded")(*whole(samples))
    frames = int(got.lengths)
    said = {"whisper": -(-count // 320), "wav2vec2-bert": len(want)}
    assert frames == said.get(name.partition("-30s")[0], len(want))
    print(f"largest difference {float((got.x[0] - want[:frames]).abs().max()):.1e}")
    assert_same(got.x[0], want[:frames])


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize(("decibel", "offset"), [(-30, 0.1), (-12, -0.1), (12, 0.0)])
@torch.no_grad()
def test_a_recordings_level_and_offset(folders, name, decibel, offset):
    """They change nothing."""
    encoder, samples = opened(folders(name)), torch.from_numpy(sounds(1, 9000)[0]).double()
    want = encoder(*whole(samples.float())).x
    got = encoder(*whole((10 ** (decibel / 20) * samples + offset).float())).x
    assert float((got - want).abs().max()) < 2e-2 * max(1.0, float(want.abs().max()))


@pytest.mark.parametrize("name", TINY)
@torch.no_grad()
def test_layers(folders, name):
    """Any layers side by side are transformers' hidden states; what is above the highest is left out."""
    samples = torch.from_numpy(sounds(1, 9000)[0])
    want = by_transformers(folders(name), samples, output_hidden_states=True).hidden_states
    both = opened(folders(name), window="padded", layers="all")(*whole(samples)).x[0]
    first = opened(folders(name), window="padded", layers=[1])
    assert (both.shape[1], first.network.depth, first.d_model) == (32, 1, 16)
    assert_same(both[:, :16], want[1][0, : len(both)])
    assert_same(first(*whole(samples)).x[0], both[:, :16])


@pytest.mark.parametrize("window", ["cut", "padded"])
@torch.no_grad()
def test_what_is_longer_than_the_window(folders, window):
    """It is read in windows, each by itself, whatever the batch's length."""
    encoder = opened(folders("whisper"), window=window)
    assert encoder.most_seconds == 1.0
    wavs = torch.from_numpy(sounds(4, 40000))
    lengths = torch.tensor([40000, 16000, 16001, 700])
    got = encoder(wavs, lengths)
    assert got.lengths.tolist() == [125, 50, 51, 3]
    for row, n in enumerate(lengths.tolist()):
        parts = [encoder(*whole(part)).x[0] for part in wavs[row, :n].split(16000)]
        torch.testing.assert_close(got.x[row, : got.lengths[row]], torch.cat(parts), **EXACT)
        assert not got.x[row, got.lengths[row] :].any()


@torch.no_grad()
def test_the_cut_window_begins_as_the_trained_one(folders):
    """Up to the first layer both are alike: only what layers see of the silence behind differs."""
    encoder, padded = (opened(folders("whisper"), window=window).network for window in ("cut", "padded"))
    wavs = torch.from_numpy(sounds(2, 6401))
    torch.testing.assert_close(encoder._front(wavs), padded._front(wavs)[:, :21], **EXACT)


# --- features ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.7, 12.34, 30.0])
@pytest.mark.parametrize("n_mels", [80, 128])
def test_log_mel(seconds, n_mels):
    """Transformers' own are in single precision: what is a hundred millionth of the loudest is off by 1.5e-5 there."""
    samples = torch.from_numpy(sounds(1, round(16000 * seconds))[0])
    extract = transformers.WhisperFeatureExtractor(feature_size=n_mels)
    want = extract(samples.numpy(), sampling_rate=16000, return_tensors="pt").input_features
    padded = torch.nn.functional.pad(samples, (0, 480000 - len(samples)))
    got = WhisperLogMel(n_mels)(padded[None], 3000).transpose(1, 2)
    torch.testing.assert_close(got, want, rtol=0, atol=2e-5)
    assert ((got - want).abs() > 1e-5).float().mean() < 1e-4


@pytest.mark.parametrize("samples", [560, 719, 720, 15999, 50000])
def test_fbank(samples):
    """Of an utterance in a batch; the shortest are of two or three frames, whose deviation may be of any size."""
    wavs = torch.from_numpy(sounds(2, 50000))
    wavs[0, samples:] = 0.0
    extract = transformers.SeamlessM4TFeatureExtractor()
    x, frames = SeamlessFbank(80)(wavs, torch.tensor([samples, 50000]))
    x = x[0, : frames[0]]
    torch.testing.assert_close(x, fbank(extract, wavs[0, :samples]), rtol=0, atol=1e-4 if samples < 1000 else 1e-5)
    given = extract(wavs[0, :samples].numpy(), sampling_rate=16000, return_tensors="pt")
    assert int(frames[0]) == int(given["attention_mask"].sum())
    torch.testing.assert_close(
        x, given["input_features"][0, : frames[0]], rtol=0, atol=2e-3 if samples < 1000 else 5e-5
    )


# --- weights ----------------------------------------------------------------------------------------------------------


def test_names_before_parametrisations(folders):
    """Older files call the parts of a normed weight otherwise."""
    tensors = EncoderFolder(str(folders("wav2vec2"))).tensors()
    older = {
        name.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): tensor
        for name, tensor in tensors.items()
    }
    assert older.keys() != tensors.keys()
    encoders = [PublicEncoder("x", TINY["wav2vec2"]) for _ in range(2)]
    encoders[0].load(tensors)
    encoders[1].load({f"wav2vec2.{name}": tensor.double() for name, tensor in older.items()})
    for (name, a), b in zip(encoders[0].state_dict().items(), encoders[1].state_dict().values(), strict=True):
        assert torch.equal(a, b), name


@torch.no_grad()
def test_an_adapter_of_a_language(folders):
    """MMS: its tensors take the place of those of the model's file, and of no others."""
    folder = folders("mms")
    names = [name for name in EncoderFolder(str(folder)).tensors() if "adapter_layer" in name]
    assert names
    from safetensors.torch import save_file

    own = {name: torch.randn_like(EncoderFolder(str(folder)).tensors()[name]) for name in names}
    save_file({**own, "lm_head.weight": torch.zeros(3, 16)}, folder / "adapter.swh.safetensors")
    encoder = PublicEncoder(str(folder), EncoderFolder(str(folder)).arguments(), language="swh")
    take_weights(encoder)
    base = opened(folder)
    differ = {name for name, t in base.state_dict().items() if not torch.equal(t, encoder.state_dict()[name])}
    assert len(differ) == len(names) and all("adapter_layer" in name for name in differ)


def test_nothing_draws_by_itself():
    """In training too: no mask, no dropped layer; dropout is torch's, and numpy's global state is left alone."""
    for name, config in TINY.items():
        encoder = PublicEncoder("x", {**config, "layerdrop": 0.9, "mask_time_prob": 0.9}).train()
        wavs, state = torch.from_numpy(sounds(1, 9000)), np.random.get_state()[1].copy()
        found = []
        for _ in range(2):
            torch.manual_seed(3)
            found.append(encoder(wavs, torch.tensor([9000])).x)
        assert torch.equal(*found), name
        assert np.array_equal(np.random.get_state()[1], state)


# --- what may be asked for --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": "bert"}, "model_type 'bert' is not one of wav2vec2, hubert"),
        ({"model_type": ["wav2vec2"]}, "is not one of"),
        ({"auto_map": {"AutoModel": "evil.Model"}}, "auto_map"),
        ({"hidden_size": 10**9}, "hidden_size is 1000000000"),
        ({"num_hidden_layers": 201}, "num_hidden_layers is 201"),
        ({"hidden_act": {"a": 1}}, "no plain value"),
        ({"conv_dim": [8] * 300}, "conv_dim has 300"),
        ({"conv_dim": [2**20] * 3}, "conv_dim is 1048576"),
        ({"layer_norm_eps": float("nan")}, "layer_norm_eps is nan"),
        ({"num_attention_heads": -2}, "num_attention_heads is -2"),
    ],
)
def test_configurations_that_are_none(change, words):
    with pytest.raises(ValueError, match=words):
        known({**TINY["wav2vec2"], **change})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layers": "first"}, "layers is 'first'"),
        ({"layers": []}, r"layers is \[\]"),
        ({"layers": [0]}, "from 1 to 2"),
        ({"layers": [3]}, "from 1 to 2"),
        ({"window": "wide"}, "window is 'wide'"),
    ],
)
def test_options_that_are_none(options, words):
    with pytest.raises(ValueError, match=words):
        PublicEncoder("x", TINY["whisper"], **options)


def test_only_what_counts_is_taken():
    """Other keys of a configuration are not looked at."""
    _, values = known({**TINY["hubert"], "tokenizer_class": {"x": 1}, "architectures": ["Evil"], "vocab_size": 10**9})
    assert set(values) <= {"model_type", *FAMILIES["hubert"].keys}


# --- the acoustic model -----------------------------------------------------------------------------------------------


def test_a_mix_of_layers():
    """Each layer counts as much, however large its values are, until the weights say otherwise."""
    mix, x = LayerMix(3), torch.randn(2, 5, 24)
    scale = torch.tensor([1.0, 50.0, 0.1]).repeat_interleave(8)
    torch.testing.assert_close(mix(x * scale), mix(x), rtol=1e-3, atol=1e-2)
    with torch.no_grad():
        mix.weights[1] = 50.0
    torch.testing.assert_close(mix(x), torch.nn.functional.layer_norm(x[..., 8:16], (8,)), rtol=1e-4, atol=1e-4)


def test_frames_in_the_place_of_the_sound():
    """They give what the sound gives; SpecAugment comes after them."""
    torch.manual_seed(0)
    encoder = PublicEncoder("x", TINY["wav2vec2"], layers="all")
    model = EncodedModel(encoder, RotaryTransformerEncoder(8, 2, 1, 16), d_model=8).eval()
    wavs, lengths = torch.from_numpy(sounds(2, 9000)), torch.tensor([9000, 5000])
    with torch.no_grad():
        want, frames = model(wavs, lengths), encoder(wavs, lengths)
        model.listen = lambda *_: frames
        got = model(None, None)
        masked = model(wavs, lengths, Conditions(augment=lambda x, lengths: 0 * x))
    assert torch.equal(got.hidden, want.hidden) and torch.equal(got.lengths, want.lengths)
    assert not torch.equal(masked.hidden, want.hidden)
    assert want.edges[0, :3].tolist() == [0, 320, 640] and model.frame_seconds == 0.02


def test_heads_that_shorten_are_refused():
    head = RotaryTransformerEncoder(8, 2, 1, 16)
    head.shortens = True
    with pytest.raises(ValueError, match="RotaryTransformerEncoder downsamples"):
        EncodedModel(PublicEncoder("x", TINY["whisper"]), head, 8)
