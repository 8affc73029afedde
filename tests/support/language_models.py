"""Public language models at the size of a test, random, and a speech LLM made of one and a tiny encoder."""

import json
from functools import partial

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from serenanet_modules.lobes.adapter import StackAdapter
from serenanet_modules.lobes.pretrained import CausalLM, EncodedModel, PublicEncoder
from serenanet_modules.lobes.pretrained.language_models import known_language_model
from serenanet_modules.lobes.speech_llm import SpeechLLM
from serenanet_modules.runs.public_lm import CLASS, PART
from tests.support.encoders import TINY

VOCABULARY = 300
SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
SIZES |= {"num_key_value_heads": 2, "vocab_size": VOCABULARY, "max_position_embeddings": 512, "eos_token_id": 2}
TINY_LMS = {  # name -> configuration
    "llama": {"model_type": "llama", **SIZES, "tie_word_embeddings": True},
    "mistral": {"model_type": "mistral", **SIZES, "tie_word_embeddings": False},
    "qwen2": {"model_type": "qwen2", **SIZES, "tie_word_embeddings": False},
    "qwen3": {"model_type": "qwen3", **SIZES, "head_dim": 8, "tie_word_embeddings": True},
    "smollm3": {"model_type": "smollm3", **SIZES, "no_rope_layer_interval": 2, "pad_token_id": 0},
    "olmo2": {"model_type": "olmo2", **SIZES, "pad_token_id": 0},
    "granite": {"model_type": "granite", **SIZES, "embedding_multiplier": 6.0, "logits_scaling": 4.0},
    "doge": {"model_type": "doge", **SIZES, "keep_window_size": 64},
}
LORA = {"r": 4, "alpha": 8, "dropout": 0.0, "targets": ["q_proj", "v_proj"]}
TEMPLATE = """\
{% for message in messages %}<|im_start|>{{ message['role'] }}
{{ message['content'] }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
PROMPT = ["<|im_start|>user\n", "", "<|im_end|>\n<|im_start|>assistant\n"]


def settled_llm(hparams):
    """Hyper-parameters whose language model, if they have one that has no weights yet, is a tiny one."""
    for key in (PART, "model"):
        if hparams.part(key, CLASS) is not None:
            hparams.fill(key, {"source": "llama", "config": TINY_LMS["llama"], "prompt": PROMPT})
            if "adapter" in hparams and hparams.tree["adapter"] is not None:
                sizes = {"d_model": SIZES["hidden_size"]}
                if hparams.tree["head"] is None:  # then the adapter reads the encoder's frames of 20 ms side by side
                    sizes["d_input"] = TINY["whisper"]["d_model"] * hparams.tree["output_stride"] // 2
                hparams.fill("adapter", sizes)
    return hparams


def tokenizer():
    """A byte-level BPE tokenizer with the marks of a chat."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=280, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(["mama anakula na baba", "ng'ombe wa baba wanakula"] * 3, trainer)
    return made


def save_language_model(folder, name="llama", template=TEMPLATE):
    """A folder as transformers write it, of random weights that say something; returns it."""
    family, values = known_language_model(TINY_LMS[name])
    torch.manual_seed(0)
    model = family.build(values)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    tokenizer().save(str(folder / "tokenizer.json"))
    told = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "chat_template": template}
    (folder / "tokenizer_config.json").write_text(json.dumps(told), encoding="utf-8")
    return folder


def speech_llm(name="llama", n_units=9, stack=2, adapter=None, **options):
    """A `SpeechLLM` of a tiny Whisper encoder, random, in evaluation mode; ``options`` are `CausalLM`'s and its own.

    ``head`` and ``d_model`` are those of `EncodedModel`; ``adapter`` makes one of three sizes.
    """
    torch.manual_seed(1)
    own = {key: options.pop(key) for key in ("compress", "ctc") if key in options}
    size, head = options.pop("d_model", None), options.pop("head", None)
    acoustic = EncodedModel(PublicEncoder("none", TINY["whisper"]), head, size, output_stride=4)
    llm = CausalLM("none", TINY_LMS[name], prompt=PROMPT, **options)
    adapter = (adapter or partial(StackAdapter, stack=stack))(acoustic.d_model, llm.size, 32)
    model = SpeechLLM(llm, adapter, acoustic=acoustic, n_units=n_units, **own)
    with torch.no_grad():
        for parameter in llm.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()
