"""Label decoders: steps equal the whole, states can be reordered, and order counts."""

import pytest
import torch

from serenanet_modules.lobes.decoders.attention_decoder import AttentionDecoder, LabelLM, with_border

D, UNITS = 16, 7
MIXERS = {"attention": {}, "mamba": {"d_state": 4}, "mamba2": {"headdim": 8, "d_state": 8}}
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def decoder(mixer):
    torch.manual_seed(0)
    return AttentionDecoder(D, UNITS, n_heads=2, n_layers=2, d_ffn=32, mixer=mixer, **MIXERS[mixer]).eval()


def language_model(mixer):
    torch.manual_seed(0)
    return LabelLM(UNITS, D, n_heads=2, n_layers=2, d_ffn=32, mixer=mixer, **MIXERS[mixer]).eval()


@pytest.mark.parametrize("mixer", MIXERS)
def test_steps_equal_forward(mixer):
    """Two hypotheses for each of three utterances, label by label."""
    net, memory, lengths = decoder(mixer), torch.randn(3, 9, D), torch.tensor([9, 4, 1])
    labels = torch.randint(UNITS, (6, 11))
    whole = net(labels, memory.repeat_interleave(2, 0), lengths.repeat_interleave(2))
    state = net.init_state(memory, lengths, beam=2)
    for u in range(labels.shape[1]):
        logits, state = net.step(labels[:, u], state)
        torch.testing.assert_close(logits, whole[:, u], **CLOSE)


@pytest.mark.parametrize("mixer", MIXERS)
def test_reordered_hypotheses_go_on(mixer):
    """A state after `reorder` is that of the chosen hypotheses, dropped utterances included."""
    net, memory, lengths = decoder(mixer), torch.randn(3, 9, D), torch.tensor([9, 4, 7])
    labels = torch.randint(UNITS, (6, 5))
    state = net.init_state(memory, lengths, beam=2)
    for u in range(4):
        state = net.step(labels[:, u], state)[1]
    hypotheses, utterances = torch.tensor([1, 1, 5, 4]), torch.tensor([0, 2])
    logits, _ = net.step(labels[hypotheses, 4], net.reorder(state, hypotheses, utterances))
    whole = net(labels[hypotheses], memory[utterances].repeat_interleave(2, 0), torch.tensor([9, 9, 7, 7]))
    torch.testing.assert_close(logits, whole[:, 4], **CLOSE)


@pytest.mark.parametrize("mixer", MIXERS)
def test_language_model_steps_equal_forward(mixer):
    net, labels = language_model(mixer), torch.randint(UNITS, (3, 8))
    whole, state = net(labels), net.init_state(3)
    for u in range(4):
        logits, state = net.step(labels[:, u], state)
        torch.testing.assert_close(logits, whole[:, u], **CLOSE)
    logits, _ = net.step(labels[[2, 0], 4], net.reorder(state, torch.tensor([2, 0])))
    torch.testing.assert_close(logits, whole[[2, 0], 4], **CLOSE)


def test_order_of_labels_counts():
    """Attention knows positions: the same labels in another order give other logits at the end."""
    net, memory = decoder("attention"), (torch.randn(1, 5, D), torch.tensor([5]))
    one, other = (net(torch.tensor([labels]), *memory)[0, -1] for labels in ([0, 1, 2, 3], [0, 2, 1, 3]))
    assert (one - other).abs().max() > 1e-3


def test_the_border_comes_first():
    assert with_border(torch.tensor([[3, 2], [1, 0]])).tolist() == [[0, 3, 2], [0, 1, 0]]


def test_unknown_mixers_are_refused():
    with pytest.raises(ValueError, match="mixer is 'lstm'"):
        AttentionDecoder(D, UNITS, 2, 1, 32, mixer="lstm")
