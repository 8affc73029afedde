"""A Whisper of random weights as transformers write it, with a tokenizer of its own."""

import json

import torch

WORDS = "habari za asubuhi kisu hiki alikitengeneza mwaka jana ng'ombe wanakula majani".split()
LANGUAGES, TASKS = ("en", "sw"), ("translate", "transcribe")
MARKS = [
    *("<|endoftext|>", "<|startoftranscript|>", *(f"<|{language}|>" for language in LANGUAGES)),
    *(*(f"<|{task}|>" for task in TASKS), "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"),
    *("<|0.00|>", "<|0.02|>"),
]
D, HEADS, LAYERS, PLACES = 32, 2, 2, 40


def tokenizer():
    """Byte pairs of a few words, and Whisper's marks."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    texts = (f" {word} {other}" for word in WORDS for other in WORDS)
    made.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False))
    made.add_special_tokens([AddedToken(mark, special=True) for mark in MARKS[:-2]])
    made.add_tokens([AddedToken(mark) for mark in MARKS[-2:]])
    return made


def make_whisper(folder, seconds=1.0, sharpness=6.0):
    """Write config.json, generation_config.json, model.safetensors and tokenizer.json of one that hears so much."""
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    made = tokenizer()
    mark = {name: made.token_to_id(name) for name in MARKS}
    end, start = mark["<|endoftext|>"], mark["<|startoftranscript|>"]
    sizes = {"d_model": D, "num_mel_bins": 20, "vocab_size": made.get_vocab_size(), "max_target_positions": PLACES}
    for side in ("encoder", "decoder"):
        sizes |= {f"{side}_layers": LAYERS, f"{side}_attention_heads": HEADS, f"{side}_ffn_dim": 2 * D}
    tokens = {"pad_token_id": end, "bos_token_id": end, "eos_token_id": end, "decoder_start_token_id": start}
    lists = {"suppress_tokens": [1, 5, start], "begin_suppress_tokens": [made.token_to_id("Ġ"), end]}
    torch.manual_seed(0)
    config = WhisperConfig(**sizes, **tokens, **lists, max_source_positions=round(50 * seconds))
    model = WhisperForConditionalGeneration(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and "embed_positions" not in name:
                parameter.mul_(sharpness if "embed" not in name else 2.0)
    told = model.generation_config
    told._from_model_config = False  # or transformers makes another one of config.json
    told.is_multilingual, told.no_timestamps_token_id = True, mark["<|notimestamps|>"]
    told.lang_to_id = {f"<|{name}|>": mark[f"<|{name}|>"] for name in LANGUAGES}
    told.task_to_id = {name: mark[f"<|{name}|>"] for name in TASKS}
    told.alignment_heads, told.max_length = [[1, 0], [1, 1]], PLACES
    told.suppress_tokens, told.begin_suppress_tokens = lists["suppress_tokens"], lists["begin_suppress_tokens"]
    model.save_pretrained(folder)
    made.save(str(folder / "tokenizer.json"))
    (folder / "preprocessor_config.json").write_text(json.dumps({"feature_size": 20}), encoding="utf-8")
    return folder
