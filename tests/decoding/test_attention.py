"""The attention beam search finds what an exhaustive search finds, and its parts count for what they say."""

import itertools

import pytest
import torch

from serenanet_modules.decoding import ngram
from serenanet_modules.decoding.arpa import NGram
from serenanet_modules.decoding.attention import AttentionBeam, AttentionGreedy
from serenanet_modules.decoding.label_search import attention_greedy
from serenanet_modules.decoding.loops import LEAST
from serenanet_modules.decoding.rows import Outputs, Row
from serenanet_modules.decoding.words import Words
from serenanet_modules.errors import UserError
from serenanet_modules.lobes.decoders.attention_decoder import AttentionDecoder, LabelLM
from tests.support.fake_units import pieces
from tests.support.paths import label_sequences, posteriors
from tests.support.word_scores import sentence_score

D, SIZE = 8, 4
MIXERS = {"attention": {}, "mamba": {"d_state": 4}}


def decoder(mixer="attention", seed=0, sharpness=3.0):
    """A random decoder that has opinions."""
    torch.manual_seed(seed)
    net = AttentionDecoder(D, SIZE, n_heads=2, n_layers=1, d_ffn=16, mixer=mixer, **MIXERS[mixer]).eval()
    with torch.no_grad():
        net.stack.output.weight *= sharpness
    return net


def inputs(lengths, seed=0):
    """Memory (B, T, D), CTC log-probabilities (B, T, V), lengths."""
    generator = torch.Generator().manual_seed(seed)
    memory = torch.randn(len(lengths), max(lengths), D, generator=generator)
    return memory, posteriors(len(lengths), max(lengths), SIZE, seed), torch.tensor(lengths)


def outputs(memory, log_probs, lengths):
    """The same as what `decode` reads."""
    return Outputs({"decoder": log_probs}, memory), lengths


@pytest.fixture(scope="module")
def word_lm(tmp_path_factory):
    path = tmp_path_factory.mktemp("lm") / "words.arpa"
    ngram.estimate(["a ab abb", "ab a a", "ba a", "ab ab", "aa ba b"], 3, path, "own")
    return path


@pytest.fixture(scope="module")
def label_lm():
    torch.manual_seed(5)
    return LabelLM(SIZE, D, n_heads=2, n_layers=1, d_ffn=16).eval()


def sequence_score(logits, labels):
    """Sum of ln p of labels and the end, from logits (U + 1, V)."""
    log_probs = logits.double().log_softmax(-1)
    return sum(float(log_probs[u, label]) for u, label in enumerate([*labels, 0]))


@torch.no_grad()
def exhaustive(net, memory, log_probs, ctc_weight, more=lambda labels: 0.0):
    """Score of every sequence of at most T labels of one utterance."""
    frames = len(memory)
    ctc = label_sequences(log_probs)
    found = {}
    for labels in itertools.chain.from_iterable(itertools.product((1, 2, 3), repeat=n) for n in range(frames + 1)):
        logits = net(torch.tensor([[0, *labels]]), memory[None], torch.tensor([frames]))[0]
        score = (1 - ctc_weight) * sequence_score(logits, labels) + more(labels)
        if ctc_weight:
            score += ctc_weight * ctc.get(labels, -float("inf"))
        if score > -float("inf"):
            found[labels] = score
    return found


def assert_finds(beam, net, arguments, expected):
    """The ten best of each utterance, with their scores."""
    for hypotheses, wanted in zip(beam.nbest(*arguments, 10), expected, strict=True):
        best = sorted(wanted.items(), key=lambda pair: -pair[1])[:10]
        assert [tuple(h.labels) for h in hypotheses] == [labels for labels, _ in best]
        difference = max(abs(h.score - score) for h, (_, score) in zip(hypotheses, best, strict=True))
        print(f"{len(wanted)} sequences, largest difference {difference:.1e} of the best ten")
        assert difference < 1e-4


@pytest.mark.parametrize("mixer", MIXERS)
@pytest.mark.parametrize("ctc_weight", [0.0, 0.3, 1.0])
def test_a_wide_beam_is_exhaustive(mixer, ctc_weight):
    """Over a ragged batch; 0 is attention alone, and 1 is CTC alone."""
    net, (memory, log_probs, lengths) = decoder(mixer), inputs([4, 1, 3])
    expected = [exhaustive(net, memory[i, :n], log_probs[i, :n], ctc_weight) for i, n in enumerate(lengths.tolist())]
    beam = AttentionBeam(net, pieces(), beam_size=200, ctc_weight=ctc_weight)
    assert_finds(beam, net, (memory, log_probs, lengths), expected)


def test_ctc_alone_sums_over_paths():
    _, (memory, log_probs, lengths) = decoder(), inputs([4], seed=3)
    totals = label_sequences(log_probs[0])
    best = AttentionBeam(decoder(), pieces(), 200, ctc_weight=1.0).decode(*outputs(memory, log_probs, lengths))[0]
    assert best.score == pytest.approx(max(totals.values()), abs=1e-4)
    assert tuple(best.labels) == max(totals, key=totals.get)


def test_word_model_is_applied_to_whole_words(word_lm):
    net, (memory, log_probs, lengths) = decoder(), inputs([4], seed=1)
    units = pieces()
    words = Words(units, NGram(word_lm), None, 0.7, 0.4)

    def words_score(labels):
        return sentence_score(words, units.decode(labels).split())

    expected = exhaustive(net, memory[0], log_probs[0], 0.3, words_score)
    beam = AttentionBeam(net, units, 200, 0.3, ngram=word_lm, lm_weight=0.7, word_score=0.4)
    assert_finds(beam, net, (memory, log_probs, lengths), [expected])


@torch.no_grad()
def test_label_model_is_applied_to_every_label(label_lm):
    net, (memory, log_probs, lengths) = decoder(), inputs([4], seed=1)

    def labels_score(labels):
        logits = label_lm(torch.tensor([[0, *labels]]))[0]
        return 0.7 * sequence_score(logits, labels) + 0.4 * sum(label in (1, 3) for label in labels)

    with torch.no_grad():
        expected = exhaustive(net, memory[0], log_probs[0], 0.3, labels_score)
    beam = AttentionBeam(net, pieces(), 200, 0.3, label_lm=label_lm, lm_weight=0.7, word_score=0.4)
    assert_finds(beam, net, (memory, log_probs, lengths), [expected])


@pytest.mark.parametrize("model", ["word_lm", "label_lm"])
def test_a_weight_of_zero_is_no_model(model, request):
    net, arguments = decoder(), inputs([20, 7])
    given = {"ngram" if model == "word_lm" else model: request.getfixturevalue(model)}
    without = AttentionBeam(net, pieces(), 4)
    heavy = AttentionBeam(net, pieces(), 4, lm_weight=2.0, word_score=0.0, **given)
    assert without.nbest(*arguments, 3) == heavy.with_weights(lm_weight=0.0).nbest(*arguments, 3)
    assert heavy.nbest(*arguments, 3) != without.nbest(*arguments, 3)
    assert heavy.with_weights(lm_weight=0.0).decode(*outputs(*arguments)) == without.decode(*outputs(*arguments))


@pytest.mark.parametrize("mixer", MIXERS)
@pytest.mark.parametrize("options", [{}, {"length_normalisation": True}, {"ngram": True, "word_score": 1.0}])
def test_a_batch_equals_one_by_one(mixer, options, word_lm):
    """Padding, its content and utterances that end earlier or later change nothing."""
    net, lengths = decoder(mixer, seed=2), [30, 4, 17, 1]
    if "ngram" in options:
        options = options | {"ngram": word_lm}
    beam = AttentionBeam(net, pieces(), 5, 0.3, **options)
    memory, log_probs, _ = inputs(lengths)
    for i, n in enumerate(lengths):
        memory[i, n:], log_probs[i, n:] = float("nan"), float("nan")
    together = beam.nbest(memory, log_probs, torch.tensor(lengths), 3)
    for i, n in enumerate(lengths):
        (alone,) = beam.nbest(memory[i : i + 1, :n], log_probs[i : i + 1, :n], torch.tensor([n]), 3)
        assert [h.labels for h in alone] == [h.labels for h in together[i]]
        assert [h.score for h in alone] == pytest.approx([h.score for h in together[i]], abs=1e-4)


def test_stopping_early_costs_nothing(monkeypatch):
    """The result is that of a search to the limit."""
    from serenanet_modules.decoding import attention

    net, arguments = decoder(), inputs([40, 25, 9])
    early = AttentionBeam(net, pieces(), 6).nbest(*arguments, 4)
    steps = []
    step = AttentionDecoder.step
    monkeypatch.setattr(AttentionDecoder, "step", lambda *a: steps.append(1) or step(*a))
    assert AttentionBeam(net, pieces(), 6).nbest(*arguments, 4) == early
    monkeypatch.setattr(attention._Search, "_drop_done", lambda *a: None)
    stopped, whole = len(steps), AttentionBeam(net, pieces(), 6).nbest(*arguments, 4)
    assert [[h.labels for h in n] for n in whole] == [[h.labels for h in n] for n in early]
    assert stopped < len(steps) - stopped == 41


def test_a_loop_is_not_gone_on_with(monkeypatch):
    """An untrained model says one label for ever; the search of 600 frames takes no more steps than a loop shows in."""
    net, (memory, _, lengths) = decoder(), inputs([600, 500])
    steps, step = [], net.step

    def counted(labels, state):
        steps.append(len(labels))
        logits, state = step(labels, state)
        logits = torch.full_like(logits, -9.0)
        logits[:, 1] = 0.0
        return logits, state

    monkeypatch.setattr(net, "step", counted)
    log_probs = torch.full((2, 600, SIZE), 1 / SIZE).log()
    found = AttentionBeam(net, pieces(), 1, ctc_weight=0.1).decode(*outputs(memory, log_probs, lengths))
    assert len(steps) <= 2 * LEAST and all(set(hypothesis.labels) <= {1} for hypothesis in found)


def test_a_loop_is_told_and_written_once(monkeypatch):
    """Of a decoder that ends too late, where CTC has heard two labels."""
    net, (memory, _, lengths) = decoder(), inputs([60])

    def said(labels, state):
        state = (state or 0) + 1
        logits = torch.full((len(labels), SIZE), -99.0)
        logits[:, 1 if state < 23 else 0] = 0.0
        return logits, state

    monkeypatch.setattr(net, "init_state", lambda *_: None)
    monkeypatch.setattr(net, "step", said)
    monkeypatch.setattr(net, "reorder", lambda state, *_: state)
    log_probs = torch.tensor([[0.7, 0.2, 0.1, 0.0001]]).log().repeat(60, 1)[None]
    (found,) = AttentionBeam(net, pieces(), 2, ctc_weight=0.0).decode(*outputs(memory, log_probs, lengths))
    assert (found.labels, found.looped) == ([1], True)


@pytest.mark.parametrize(("kind", "kept"), [("char", True), ("bpe", False)])
def test_what_is_decoded_again_may_repeat_a_few_letters(monkeypatch, kind, kept):
    """Four letters in a row stand in a sentence twice, four pieces hardly; the loop behind them is cut either way."""
    net, (memory, _, lengths) = decoder(), inputs([60])
    sentence = [1, 2, 3, 1, 1, 2, 3, 1, 2]

    def said(labels, state):
        logits = torch.full((len(labels), SIZE), -9.0)
        logits[:, 0] = -10.0
        logits[:, sentence[state] if state < len(sentence) else 3] = 0.0
        return logits, state + 1

    monkeypatch.setattr(net, "init_state", lambda *_: 0)
    monkeypatch.setattr(net, "step", said)
    monkeypatch.setattr(net, "reorder", lambda state, *_: state)
    units = pieces()
    monkeypatch.setattr(units, "kind", kind, raising=False)
    (found,) = AttentionGreedy(net, units).decode(*outputs(memory, None, lengths))
    assert found.looped
    assert (found.labels == [*sentence, 3]) == kept


def test_what_is_said_again_and_again_is_no_loop_where_ctc_hears_it():
    labels = [1, 2, 3] * 8
    path = [label for pair in zip(labels, [0] * len(labels), strict=True) for label in pair]
    log_probs = torch.full((1, len(path), SIZE), 1e-3)
    log_probs[0, range(len(path)), path] = 1.0
    memory, _, lengths = inputs([len(path)])
    beam = AttentionBeam(decoder(), pieces(), 4, ctc_weight=1.0)
    (found,) = beam.decode(*outputs(memory, log_probs.log().log_softmax(-1), lengths))
    assert (found.labels, found.looped) == (labels, False)


def test_length_normalisation_compares_scores_per_label():
    net, (memory, log_probs, lengths) = decoder(), inputs([4], seed=1)
    plain = exhaustive(net, memory[0], log_probs[0], 0.3)
    expected = {labels: score / (len(labels) + 1) for labels, score in plain.items()}
    best = AttentionBeam(net, pieces(), 200, 0.3, length_normalisation=True).decode(
        *outputs(memory, log_probs, lengths)
    )[0]
    assert tuple(best.labels) == max(expected, key=expected.get)
    assert best.score == pytest.approx(max(expected.values()), abs=1e-4)


def test_a_wider_beam_finds_no_worse_score():
    net, arguments = decoder(), inputs([30, 20], seed=4)
    scores = [
        [h.score for h in AttentionBeam(net, pieces(), size).decode(*outputs(*arguments))] for size in (1, 8, 100)
    ]
    for a, b, c in zip(*scores, strict=True):
        assert a <= b + 1e-6 <= c + 2e-6


@pytest.mark.parametrize("mixer", MIXERS)
def test_greedy(mixer):
    """The likeliest next label after each, with no more labels than frames; a batch equals one by one."""
    net, (memory, _, lengths) = decoder(mixer), inputs([9, 3, 6])
    found = attention_greedy(net, memory, lengths)
    for i, (labels, n) in enumerate(zip(found, lengths.tolist(), strict=True)):
        with torch.no_grad():
            logits = net(torch.tensor([[0, *labels]]), memory[i : i + 1, :n], lengths[i : i + 1])[0]
        chosen = logits.argmax(-1).tolist()
        assert chosen[: len(labels)] == labels and (chosen[-1] == 0 or len(labels) == n)
        assert attention_greedy(net, memory[i : i + 1, :n], lengths[i : i + 1]) == [labels]


def test_what_a_network_of_bfloat16_heard():
    """Frames of that type are decoded as the same in float32."""
    net, (memory, log_probs, lengths) = decoder(), inputs([6, 4])
    low = memory.bfloat16()
    for search in (AttentionGreedy(net, pieces()), AttentionBeam(net, pieces(), 4)):
        assert search.decode(*outputs(low, log_probs, lengths)) == search.decode(
            *outputs(low.float(), log_probs, lengths)
        )


def test_rows_are_decoded_in_batches(word_lm):
    """What was kept, in batches of any size, gives what the batch gave, in order; names say which search it was."""
    net, (memory, log_probs, lengths) = decoder(), inputs([9, 30, 6, 17])
    decoders = [
        AttentionGreedy(net, pieces()),
        AttentionBeam(net, pieces(), 3),
        AttentionBeam(net, pieces(), 3, ngram=word_lm),
    ]
    assert [d.name for d in decoders] == ["attention/greedy", "attention/beam", "attention/beam+lm"]
    rows = [Row(n / 10, log_probs[i, :n], memory[i, :n]) for i, n in enumerate(lengths.tolist())]
    for d in decoders:
        together = d.decode(*outputs(memory, log_probs, lengths))
        for batch_seconds in (0.1, 4.0, 100.0):
            found = d.decode_rows(rows, batch_seconds)
            assert [h.labels for h in found] == [h.labels for h in together]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam_size": 0}, "beam_size 0"),
        ({"ctc_weight": 1.5}, "ctc_weight 1.5"),
        ({"ngram": "missing.arpa"}, "missing.arpa: no such"),
        ({"ngram": "x", "label_lm": "y"}, "one language model"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(UserError, match=message):
        AttentionBeam(decoder(), pieces(), **options)
