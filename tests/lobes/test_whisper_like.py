"""Equal to transformers' Whisper with the same weights; sizes as the formulas say; prefixes and learned positions."""

import pytest
import torch

from serenanet_modules.lobes.decoders.attention_decoder import AttentionDecoder, with_border
from serenanet_modules.lobes.encoders.sinusoidal import SinusoidalEncoder
from serenanet_modules.lobes.frontends.stem import ConvStem
from serenanet_modules.runs.whisper_names import our_names
from tests.support.counts import parameters
from tests.support.presets import preset

D, HEADS, LAYERS, MELS, UNITS, END, PLACES = 32, 4, 2, 20, 11, 7, 16
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
PREFIX = (9, 10, 8)


@pytest.fixture(name="peer", scope="module")
def _peer():
    """``peer(frames) -> WhisperModel`` for so many mel frames; random weights, biases too, always the same."""
    whisper = pytest.importorskip("transformers").models.whisper
    sizes = {"num_mel_bins": MELS, "d_model": D, "vocab_size": UNITS, "max_target_positions": PLACES}
    for side in ("encoder", "decoder"):
        sizes |= {f"{side}_layers": LAYERS, f"{side}_attention_heads": HEADS, f"{side}_ffn_dim": 4 * D}

    def make(frames):
        config = whisper.WhisperConfig(**sizes, max_source_positions=frames // 2, pad_token_id=0)
        model = whisper.WhisperModel(config).eval()
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for name, tensor in sorted(model.named_parameters()):
                if name != "encoder.embed_positions.weight":
                    centre = "norm" in name and not name.endswith("bias")
                    tensor.copy_(0.3 * torch.randn(tensor.shape, generator=generator) + centre)
        return model

    return make


def ours(model, prefix=None):
    """Front end, encoder and decoder with a peer's weights."""
    options = {"mixer": "plain", "positions": PLACES, "tied": True, "prefix": prefix}
    parts = {
        "acoustic.frontend": ConvStem(MELS, D),
        "acoustic.encoder": SinusoidalEncoder(D, HEADS, LAYERS, 4 * D),
        "attention": AttentionDecoder(D, UNITS, HEADS, LAYERS, 4 * D, **options),
    }
    tensors = our_names(model.state_dict(), END)
    for name, part in parts.items():
        start = f"{name}."
        part.eval().load_state_dict({k.removeprefix(start): t for k, t in tensors.items() if k.startswith(start)})
    return parts.values()


def unit(token):
    """Ours for one of theirs: the end comes first."""
    return torch.where(token == END, 0, token + (token < END))


@torch.no_grad()
@pytest.mark.parametrize("frames", [2, 38, 100])
def test_the_encoder_equals_whisper(peer, frames):
    """At any even length; mates in our batch, and what stands in our padding, change nothing."""
    model, x = peer(frames), torch.randn(2, frames, MELS)
    frontend, encoder, _ = ours(model)
    want = model.encoder(x.transpose(1, 2)).last_hidden_state
    padded = torch.full((3, frames + 5, MELS), torch.nan)
    padded[:2, :frames] = x
    got, lengths, *_ = encoder(*frontend(padded, torch.tensor([frames, frames, frames + 5]))[:2])
    assert lengths.tolist() == [frames // 2, frames // 2, (frames + 6) // 2]
    torch.testing.assert_close(got[:2, : frames // 2], want, **CLOSE)


@torch.no_grad()
def test_the_decoder_equals_whisper(peer):
    """Teacher-forced, behind a prefix, and label by label with a cache, for two hypotheses of each utterance."""
    model = peer(38)
    *_, decoder = ours(model, unit(torch.tensor(PREFIX)).tolist())
    memory, lengths = torch.randn(2, 19, D), torch.tensor([19, 19])
    tokens = torch.randint(END, (2, 6))
    before = torch.tensor(PREFIX).expand(2, -1)
    out = model.decoder(torch.cat([before, tokens], 1), encoder_hidden_states=memory).last_hidden_state
    want = (out @ model.decoder.embed_tokens.weight.T)[:, len(PREFIX) - 1 :]
    want = torch.cat([want[..., END:][..., :1], want[..., :END], want[..., END + 1 :]], -1)
    labels = with_border(unit(tokens))
    torch.testing.assert_close(decoder(labels, memory, lengths), want, **CLOSE)
    state = decoder.init_state(memory, lengths, beam=2)
    for place in range(labels.shape[1]):
        logits, state = decoder.step(labels[:, place].repeat_interleave(2), state)
        torch.testing.assert_close(logits, want[:, place].repeat_interleave(2, 0), **CLOSE)


@torch.no_grad()
def test_cached_steps_equal_whispers(peer):
    model = peer(38)
    *_, decoder = ours(model)
    memory, tokens = torch.randn(2, 19, D), torch.randint(END, (2, 5))
    cache, state = None, decoder.init_state(memory, torch.tensor([19, 19]))
    for place in range(tokens.shape[1]):
        found = model.decoder(
            tokens[:, place : place + 1], encoder_hidden_states=memory, past_key_values=cache, use_cache=True
        )
        cache, want = found.past_key_values, found.last_hidden_state[:, 0] @ model.decoder.embed_tokens.weight.T
        logits, state = decoder.step(unit(tokens[:, place]), state)
        torch.testing.assert_close(logits[:, unit(torch.arange(UNITS))], want, **CLOSE)


def test_labels_past_the_last_place_share_it():
    decoder = AttentionDecoder(D, UNITS, 2, 1, D, mixer="plain", positions=4, tied=True, prefix=PREFIX).eval()
    assert decoder.most_labels(torch.tensor([1, 50])).tolist() == [1, 1]
    labels, memory = torch.randint(1, UNITS, (1, 9)), (torch.randn(1, 3, D), torch.tensor([3]))
    whole, state = decoder(with_border(labels), *memory), decoder.init_state(*memory)
    for place, label in enumerate([0, *labels[0].tolist()]):
        logits, state = decoder.step(torch.tensor([label]), state)
        torch.testing.assert_close(logits, whole[:, place], **CLOSE)


@pytest.mark.parametrize("options", [{"mixer": "plain"}, {"mixer": "attention", "positions": 5}])
def test_positions_are_for_plain_attention(options):
    with pytest.raises(ValueError, match="give positions with plain, and null with others"):
        AttentionDecoder(D, UNITS, 2, 1, D, **options)


@pytest.mark.parametrize(
    ("size", "d", "layers", "millions"),
    [("5m", 192, 6, 5.48), ("19m", 320, 10, 19.75), ("50m", 512, 10, 49.98), ("100m", 640, 14, 97.49)],
)
def test_sizes(size, d, layers, millions):
    """As the formulas of layers, stem, positions and embedding give them; the CTC head comes on top."""
    found = parameters(preset(f"whisper_like/{size}"), n_units="1000")
    assert found["encoder"] == layers * (12 * d**2 + 12 * d) + 2 * d
    assert found["frontend"] == 241 * d + 3 * d**2 + d
    decoder = 4 * (16 * d**2 + 17 * d) + 2 * d + 448 * d + 1000 * d
    assert found["model"] == found["encoder"] + found["frontend"] + decoder + 1000 * (d + 1)
    assert round((found["model"] - 1000 * (d + 1)) / 1e6, 2) == millions
