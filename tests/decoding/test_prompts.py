"""What a speech LLM is told: contexts, and drafts of what its CTC head hears, each utterance its own."""

import pytest
import torch

from serenanet_modules.data.tokens import Tokens
from serenanet_modules.decoding.prompted import Prompted
from serenanet_modules.decoding.prompts import Prompts
from tests.support.language_models import PROMPT, VOCABULARY, speech_llm, tokenizer


class Letters:
    """Units for these tests: 0 is the blank, then a space and a to g."""

    blank_id = 0

    @staticmethod
    def decode(labels):
        return "".join(" abcdefg"[label - 1] for label in labels)


@pytest.fixture(scope="module", name="tokens")
def _tokens(tmp_path_factory):
    file = tmp_path_factory.mktemp("tokens") / "tokenizer.json"
    tokenizer().save(str(file))
    return Tokens(file, PROMPT, [2], VOCABULARY)


def certain(*paths):
    """Log-probabilities (B, T, 9) of one label each frame."""
    return torch.eye(9)[torch.tensor(paths)].clamp(min=1e-6).log()


def test_a_draft_is_what_ctc_hears(tokens):
    """Behind the context, before the sound, of valid frames alone; where nothing is heard, there is no draft."""
    log_probs, lengths = certain([2, 2, 0, 2, 1, 3], [4, 0, 5, 5, 5, 5], [0, 0, 0, 0, 0, 0]), torch.tensor([6, 2, 6])
    said = Prompts(tokens, Letters(), draft=True).said(["Ana", "", ""], [[9], [], []], log_probs, lengths)
    told = [tokens.decode(before) for before in said.before]
    assert [text.partition("user ")[2] for text in told] == [
        "Names and words that may be said: Ana. It may be: aa b.",
        "It may be: c.",
        "",
    ]
    assert said.texts == [[9], [], []] and said.after == [tokens.around()[1]] * 3
    without = Prompts(tokens, Letters()).said(["Ana", "", ""], [[]] * 3, log_probs, lengths)
    assert without.before == [tokens.around("Ana")[0], *[tokens.around()[0]] * 2]


@torch.no_grad()
def test_an_answer_follows_its_draft(tokens):
    """In use the prompt holds it as in training; another draft, another answer."""
    model = speech_llm("llama", n_units=9)
    hidden, lengths = torch.randn(1, 6, model.acoustic.d_model), torch.tensor([6])
    search = Prompted(model, Letters(), tokens, draft=True)
    (first,), (second,) = (
        search.nbest(hidden, certain(path), lengths) for path in ([2, 0, 3, 0, 4, 4], [8, 0, 7, 0, 7, 0])
    )
    assert first[0].tokens != second[0].tokens
    said = Prompts(tokens, Letters(), draft=True).said([""], [first[0].tokens], certain([2, 0, 3, 0, 4, 4]), lengths)
    heard = model.embeddings(hidden, certain([2, 0, 3, 0, 4, 4]), lengths)
    logits = model.llm(*model.sequences(heard, said), len(first[0].tokens) + 1)
    assert logits[0, :-1].argmax(-1).tolist() == first[0].tokens
