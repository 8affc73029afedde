"""Folders of public language models are data: code, pickles, sizes that no file holds and templates are bounded."""

import json
import shutil

import pytest
import torch

from serenanet_modules.lobes.pretrained import CausalLM
from serenanet_modules.runs.public_lm import LanguageModelFolder
from serenanet_modules.runs.public_parts import take_weights
from tests.support.language_models import LORA, TEMPLATE, TINY_LMS, save_language_model
from tests.support.refusals import refusal


@pytest.fixture(scope="module", name="original")
def _original(tmp_path_factory):
    return save_language_model(tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture(name="folder")
def _folder(original, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(original, tmp_path / "llm")


def change(folder, name="config.json", **values):
    file = folder / name
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **values}), encoding="utf-8")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"auto_map": {"AutoModelForCausalLM": "evil.Evil"}}, "never run"),
        ({"model_type": "gpt2"}, "model_type 'gpt2' is not one of llama"),
        ({"hidden_size": 30000}, "cannot be used"),
        ({"hidden_size": 10**9}, "hidden_size is 1000000000"),
        ({"intermediate_size": 100000}, "far larger than"),
        ({"num_hidden_layers": 150}, "lack model.layers.2"),
        ({"num_hidden_layers": -1}, "num_hidden_layers is -1"),
        ({"rope_parameters": {"a": {"b": {"c": {}}}}}, "larger than that of any"),
        ({"eos_token_id": None}, "eos_token_id"),
        ({"hidden_act": "exec"}, "exec"),
    ],
)
def test_configurations_that_cannot_be(folder, values, words):
    if values.get("eos_token_id", 0) is None:
        (folder / "generation_config.json").unlink(missing_ok=True)
    change(folder, **values)
    refusal(lambda: LanguageModelFolder(str(folder)).arguments(), "llm.source", words)


def test_pickles_and_what_is_missing(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    refusal(lambda: LanguageModelFolder(str(folder)), "pytorch_model.bin", "anybody's code")
    (folder / "tokenizer.json").unlink()
    refusal(lambda: LanguageModelFolder(str(folder)), "has no tokenizer.json")


@pytest.mark.parametrize("learns", ["frozen", "lora", "all"])
@pytest.mark.parametrize("name", TINY_LMS)
def test_weights_are_those_of_the_folder(tmp_path, name, learns):
    """Logits are transformers' own, tied embeddings or not, with adapters that have not learned yet."""
    folder = save_language_model(tmp_path / name, name)
    source = LanguageModelFolder(str(folder))
    told = source.told()
    keep = "copy" if learns == "all" else "reference"
    lm = CausalLM(**told, learns=learns, lora=LORA, keep=keep).eval()
    take_weights(lm)
    import transformers

    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).eval()
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    with torch.no_grad():
        ours = lm(lm.embed(ids), torch.ones(1, 5, dtype=torch.bool), 5)
        torch.testing.assert_close(ours, theirs(ids).logits.float(), rtol=1e-5, atol=1e-5)
    state = lm.state_dict()
    again = CausalLM(**told, learns=learns, lora=LORA, keep=keep)
    assert not again.load_state_dict(state, strict=False).unexpected_keys
    with torch.no_grad():
        assert torch.equal(again.eval()(again.embed(ids), torch.ones(1, 5, dtype=torch.bool), 5), ours)


@pytest.mark.parametrize(
    ("ends", "eos_token", "expected"),
    [
        ([0, 2], "<|im_end|>", [2, 0]),
        ([0, 1, 2], {"content": "<|im_end|>"}, [2, 0, 1]),
        ([1, 0], "<|im_end|>", [1, 0]),
        ([0, 2], None, [0, 2]),
        (0, "<|im_end|>", 0),
    ],
)
def test_the_tokenizers_own_end_is_learned(folder, ends, eos_token, expected):
    """Where it is among those of the configuration; else the first of these."""
    change(folder, "generation_config.json", eos_token_id=ends)
    change(folder, "tokenizer_config.json", eos_token=eos_token)
    assert LanguageModelFolder(str(folder)).arguments()["eos_token_id"] == expected
    if expected == [2, 0]:
        assert CausalLM(**LanguageModelFolder(str(folder)).told()).end == [2, 0]


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{% for", "unexpected"),
        ("{{ raise_exception('no') }}", "undefined"),
        ("x", "leaves out the user's message"),
        ("{{ 10 ** (10 ** 10) }}", "it takes more than"),
        ("{{ 'x' * 100000000 }}", "256 MiB of memory"),
        ("{{ 'x'.ljust(100000) }}", "longer than 65536 characters"),
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "it takes more than 2 s"),
        ("{% set n = namespace(s='xx') %}{% for i in range(40) %}{% set n.s = n.s ~ n.s %}{% endfor %}", "of memory"),
    ],
)
def test_templates_that_cannot_be(folder, template, words):
    """What reaches for more than it is given, ends in an error, or takes much time, memory or room: one sentence."""
    change(folder, "tokenizer_config.json", chat_template=template)
    source = LanguageModelFolder(str(folder))
    refusal(lambda: source.prompt("", True), "llm.source", "chat template", words, "--llm.chat false")


def test_prompts(folder):
    """Of the chat template, or plain."""
    source = LanguageModelFolder(str(folder))
    assert source.prompt("Write.", True) == ["<|im_start|>user\n", "", "\nWrite.<|im_end|>\n<|im_start|>assistant\n"]
    assert source.prompt("", False) == ["<|im_start|>", "", "\n"]
    (folder / "chat_template.jinja").write_text(TEMPLATE.replace("user", "x"), encoding="utf-8")
    assert LanguageModelFolder(str(folder)).prompt("", True)[2].endswith("assistant\n")


def test_named_templates(folder):
    """Of several the one named default is filled in; where there is none, one sentence."""
    expected = LanguageModelFolder(str(folder)).prompt("Write.", True)
    several = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": TEMPLATE}]
    change(folder, "tokenizer_config.json", chat_template=several)
    assert LanguageModelFolder(str(folder)).prompt("Write.", True) == expected
    for wrong in (several[:1], [], {"default": TEMPLATE}, [{"name": "default"}], ["default"]):
        change(folder, "tokenizer_config.json", chat_template=wrong)
        source = LanguageModelFolder(str(folder))
        refusal(lambda source=source: source.prompt("", True), "llm.source", "none is named default", "llm.chat false")
        assert len(source.prompt("", False)) == 3
