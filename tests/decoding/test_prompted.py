"""What a speech LLM writes: in a batch as alone, with a cache as without, never round and round, never without end."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from serenanet_modules.data.sources import Piece
from serenanet_modules.data.text import Style
from serenanet_modules.decoding.decoders import Decoders
from serenanet_modules.decoding.network import Network
from serenanet_modules.decoding.prompted import MORE, PER_SECOND, Prompted, ctc_score
from serenanet_modules.errors import UserError
from serenanet_modules.inference.hotwords import hotwords_of
from serenanet_modules.lobes.adapter import ConvAdapter, QFormerAdapter, StackAdapter
from serenanet_modules.lobes.encoders.rotary import RotaryTransformerEncoder
from serenanet_modules.lobes.speech_llm import Said
from serenanet_modules.runtime.precision import Context
from tests.support.language_models import PROMPT, VOCABULARY, speech_llm, tokenizer


class Letters:
    """Units of a CTC head, for these tests: a to h."""

    kind = "char"

    @staticmethod
    def encode(text):
        return [1 + ord(c) % 8 for c in text]


@pytest.fixture(scope="module", name="tokens")
def _tokens(tmp_path_factory):
    from serenanet_modules.data.tokens import Tokens

    file = tmp_path_factory.mktemp("tokens") / "tokenizer.json"
    tokenizer().save(str(file))
    return Tokens(file, PROMPT, [2], VOCABULARY)


def heard(model, lengths=(24000, 9000, 3000)):
    """The network's output for noise."""
    wavs = torch.randn(len(lengths), max(lengths), generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        return model(wavs, torch.tensor(lengths))


def without_cache(model, tokens, output, row, limit):
    """The likeliest token after each other, the whole sequence read anew for each."""
    before, after = tokens.around()
    found = []
    frames = output.lengths[row : row + 1]
    own = model.embeddings(output.hidden[row : row + 1], output.decoder[row : row + 1], frames)
    while len(found) < limit:
        with torch.no_grad():
            logits = model.llm(*model.sequences(own, Said([before], [after], [found])), 1)
        token = int(logits[0, -1].argmax())
        if token == 2:
            break
        found.append(token)
    return found


@pytest.mark.parametrize("name", ["llama", "qwen2", "granite"])
def test_batched_cached_and_one_by_one(name, tokens):
    """Equal tokens, of which there are as many as the sound's length allows at most."""
    model = speech_llm(name)
    output = heard(model)
    search = Prompted(model, Letters(), tokens)
    answers = search.nbest(output.hidden, output.decoder, output.lengths)
    texts = search.decode(output, output.lengths)
    for row, (answer,) in enumerate(answers):
        limit = int(output.lengths[row]) * 0.04 * PER_SECOND + MORE
        assert len(answer.tokens) <= limit + 1
        plain = without_cache(model, tokens, output, row, len(answer.tokens) + (0 if answer.looped else 1))
        assert plain[: len(answer.tokens)] == answer.tokens
        one = type(output)(*(part[row : row + 1] if torch.is_tensor(part) else part for part in output))
        (alone,) = search.decode(one, one.lengths)
        assert (alone.labels, alone.text, alone.looped) == (texts[row].labels, texts[row].text, texts[row].looped)
        assert alone.score == pytest.approx(texts[row].score, abs=1e-3)


def test_a_beam_finds_what_is_likelier(tokens):
    """Its best answer is no worse than the greedy one, and scores are sums of log-probabilities."""
    model = speech_llm("llama")
    output = heard(model)
    greedy = Prompted(model, Letters(), tokens).nbest(output.hidden, output.decoder, output.lengths)
    wide = Prompted(model, Letters(), tokens, beam_size=4).nbest(output.hidden, output.decoder, output.lengths)
    before, after = tokens.around()
    for row, answers in enumerate(wide):
        assert max(answer.rank for answer in answers) >= greedy[row][0].rank
        for answer in answers[:2]:
            frames = output.lengths[row : row + 1]
            own = model.embeddings(output.hidden[row : row + 1], output.decoder[row : row + 1], frames)
            with torch.no_grad():
                logits = model.llm(
                    *model.sequences(own, Said([before], [after], [answer.tokens])), len(answer.tokens) + 1
                )
            steps = logits[0].log_softmax(-1)
            score = steps[range(len(answer.tokens)), answer.tokens].sum()
            limit = len(answer.tokens) >= int(output.lengths[row]) * 0.04 * PER_SECOND + MORE
            ended = 0.0 if answer.looped or limit else float(steps[-1, 2])
            assert answer.score == pytest.approx(float(score) + ended, abs=1e-3)


def test_loops_end_and_are_marked(tokens):
    """A model that says one thing for ever stops after its sixteenth token, and says it once."""
    model = speech_llm("llama")
    with torch.no_grad():
        model.llm.network.get_input_embeddings().weight[65] *= 50
    found = Prompted(model, Letters(), tokens).decode(output := heard(model, (48000,)), output.lengths)[0]
    said = tokens.decode([65])
    assert found.looped and found.text.endswith(said) and not found.text.endswith(2 * said)


def test_ctc_chooses_among_answers(tokens):
    """With all the weight the answer is that of which CTC says most."""
    model = speech_llm("llama")
    model.decoder.weight.data.mul_(5)
    output = heard(model)
    search = Prompted(model, Letters(), tokens, beam_size=4)
    best = search.with_weights(ctc_weight=1.0).decode(output, output.lengths)
    for row, answers in enumerate(search.nbest(output.hidden, output.decoder, output.lengths)):
        log_probs = output.decoder[row, : output.lengths[row]]
        ranked = {
            tokens.decode(answer.tokens): ctc_score(log_probs, Letters.encode(tokens.decode(answer.tokens)))
            / (len(answer.tokens) + 1)
            for answer in answers
            if not answer.looped
        }
        assert not ranked or best[row].text == max(ranked, key=ranked.get)


def test_an_answer_ends_with_the_positions_that_there_are(tokens):
    """Each as far as its own go, whatever it is in a batch with, and one that has no room is refused."""
    model = speech_llm("doge")
    output = heard(model, (9000, 3000))
    search = Prompted(model, Letters(), tokens)
    with pytest.raises(UserError, match="and the language model has 64"):
        replace(search, context="mama " * 60).decode(output, output.lengths)
    model.llm.longest = width = 2 + model.sequences(*_prefix(model, search, output))[0].shape[1]
    answers = search.nbest(output.hidden, output.decoder, output.lengths)
    assert width > 10 and len(answers[0][0].tokens) <= 2 < len(answers[1][0].tokens)
    for row, n in enumerate(output.lengths.tolist()):
        own = slice(row, row + 1)
        alone = search.nbest(output.hidden[own, :n], output.decoder[own, :n], output.lengths[own])
        assert [answer.tokens for answer in alone[0]] == [answer.tokens for answer in answers[row]]


@pytest.mark.parametrize("adapter", [StackAdapter, ConvAdapter, QFormerAdapter])
def test_it_writes_what_a_network_of_bfloat16_heard(adapter, tokens):
    """Whose frames have that type; the adapter and the language model compute in float32."""
    model = speech_llm("llama", adapter=adapter, head=RotaryTransformerEncoder(32, 2, 1, 32), d_model=32)
    network = Network(nn.ModuleDict({"model": model}), torch.device("cpu"), Context("bf16", "cpu"))
    noise = torch.randn(9000, generator=torch.Generator().manual_seed(5)).numpy()
    output = network.output([Piece(0.0, noise), Piece(0.0, noise[:4000])])
    assert output.hidden.dtype == torch.bfloat16
    search = Prompted(model, Letters(), tokens)
    exact = output._replace(hidden=output.hidden.float())
    assert search.decode(output, output.lengths) == search.decode(exact, output.lengths)


def _prefix(model, search, output):
    before, after = search.tokens.around()
    said = Said([before] * 2, [after] * 2, [[], []])
    return model.embeddings(output.hidden, output.decoder, output.lengths), said


def test_lists_are_of_different_texts(tokens):
    """The best is what is written; as many answers are followed as texts are wanted."""
    model = speech_llm("llama")
    output = heard(model)
    search = Prompted(model, Letters(), tokens, beam_size=4)
    lists, best = search.listed(output, output.lengths, 3), search.decode(output, output.lengths)
    assert [found[0].text for found in lists] == [hypothesis.text for hypothesis in best]
    assert all(1 <= len({h.text for h in found}) == len(found) <= 3 for found in lists)
    assert any(len(found) > 1 for found in Prompted(model, Letters(), tokens).listed(output, output.lengths, 2))


def test_ctc_score_is_the_log_probability():
    log_probs = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    paths = torch.cartesian_prod(*[torch.arange(4)] * 6)
    total = log_probs.gather(1, paths.T).sum(0)
    said = [[u for i, u in enumerate(p) if u and (i == 0 or p[i - 1] != u)] for p in paths.tolist()]
    wanted = torch.tensor([labels == [2, 2, 1] for labels in said])
    assert ctc_score(log_probs, [2, 2, 1]) == pytest.approx(float(total[wanted].logsumexp(0)), abs=1e-4)
    assert ctc_score(log_probs, [1] * 6) == -1e4


def test_a_context_stands_in_the_prompt(tokens):
    """Before the sound; it changes what is written after, an empty one changes nothing."""
    plain, told = tokens.around(), tokens.around("Wanjiku,  Ng'ombe")
    assert plain == tokens.around("  ") and plain[1] == told[1] != []
    assert "Names and words that may be said: Wanjiku, Ng'ombe." in tokens.decode(told[0])
    assert 2 in plain[1] and 2 not in tokens.encode("<|im_end|>") + tokens.around("<|im_end|>")[0]
    model = speech_llm("llama")
    output = heard(model)
    first = [
        Prompted(model, Letters(), tokens, c).nbest(output.hidden, output.decoder, output.lengths) for c in ("", "x")
    ]
    assert first[0] != first[1]


def test_hotwords_of_any_script_stand_in_the_prompt(tokens):
    """Words that end in a vowel sign or a virama too; forms with punctuation, which texts have, do not."""
    letters = "".join({*"हिन्दी", *"தமிழ்", *"हिन्दी।"})
    words = {}
    for locale, word in (("hi", "हिन्दी"), ("ta", "தமிழ்")):
        words |= hotwords_of([word], (locale, Style("keep", "keep"), letters))
    assert "हिन्दी।" in words
    settings = {"context": None, "draft": False, "attention_beam_size": 1}
    made = Decoders(speech_llm("llama"), Letters(), settings, tokens=tokens, hotwords=words).prompted()
    assert made.context == "हिन्दी, தமிழ்"


def test_the_cache_costs_what_is_new():
    """One step reads one embedding, whatever came before."""
    model, seen = speech_llm("llama"), []
    model.llm.network.model.layers[0].register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[1]))
    cache, x = model.llm.start(), torch.randn(1, 20, model.llm.size)
    valid = torch.ones(1, 20, dtype=torch.bool)
    with torch.no_grad():
        model.llm(x, valid, 1, cache)
        model.llm(x[:, :1], functional.pad(valid, (0, 1), value=True), 1, cache)
    assert seen == [20, 1]
