"""What a public language model loses and saves with fewer bits a weight, and what a token takes then.

    OMP_NUM_THREADS=1 python benchmarks/llm_bits.py SMOLLM2 [--text FILE] [--tokens 20]

SMOLLM2 is a folder as `transformers` writes it. The model reads a text in float32 and in fewer bits, and its logits are
compared: their difference, as a share of their norm, and at how many tokens the likeliest next one stays. MiB are those
of all parameters and buffers; the time is that of a token behind the text, with the cache, CPU time of the process.
"""

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from llm_cache import write  # noqa: E402
from torch import nn  # noqa: E402

from serenanet_modules.data.tokens import read_tokenizer  # noqa: E402
from serenanet_modules.lobes.pretrained import CausalLM  # noqa: E402
from serenanet_modules.runs.public_lm import LanguageModelFolder  # noqa: E402
from serenanet_modules.runs.public_parts import take_weights  # noqa: E402
from serenanet_modules.runtime.quantised import quantise  # noqa: E402

TEXT = "The children of the village walk to school along the river, and in the evening they tell each other stories "
TEXT += "that their grandparents told them when they were small."
KINDS = ("float32", "int8", "nf4")
COLUMNS = "| weights | difference of logits | likeliest stays | MiB | s a token |"


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="of the language model")
    parser.add_argument("--text", type=Path, help="file with the text to read (a sentence of English)")
    parser.add_argument("--tokens", type=int, default=20, help="that are written and timed (20)")
    options = parser.parse_args(argv)
    text = TEXT if options.text is None else options.text.read_text(encoding="utf-8")
    tokens = torch.tensor([read_tokenizer(Path(options.folder) / "tokenizer.json").encode(text).ids])
    print(f"{tokens.shape[1]} tokens\n\n{COLUMNS}\n{'|---' * COLUMNS.count(' | ')}|---|")
    exact = read(opened(options.folder, KINDS[0]), tokens)
    for kind in KINDS:
        model = opened(options.folder, kind)
        logits = read(model, tokens)
        away = float((logits - exact).norm() / exact.norm())
        same = float((logits.argmax(-1) == exact.argmax(-1)).float().mean())
        took = seconds_a_token(model, tokens, options.tokens)
        print(f"| {kind} | {away:.1%} | {same:.0%} | {mebibytes(model):.0f} | {took:.3f} |", flush=True)


def opened(folder, kind):
    """The model with its weights in ``kind``."""
    model = nn.Module()
    model.llm = CausalLM(**LanguageModelFolder(folder).told()).eval()
    take_weights(model.llm)
    if kind != KINDS[0]:
        quantise(model, kind=kind)
    return model.llm


@torch.no_grad()
def read(model, tokens):
    """Logits (1, L, tokens of the model) behind each of the tokens (1, L)."""
    return model(model.embed(tokens), torch.ones(tokens.shape, dtype=torch.bool), tokens.shape[1])


@torch.no_grad()
def seconds_a_token(model, tokens, count):
    """CPU seconds of a token behind the text, which is read first and not counted."""
    x, taken = model.embed(tokens), []
    for written in (1, 1 + count):
        began = time.process_time()
        write(model, x, written, cached=True)
        taken.append(time.process_time() - began)
    return (taken[1] - taken[0]) / count


def mebibytes(model):
    """All that the model holds."""
    held = {t.data_ptr(): t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers())}
    return sum(held.values()) / 2**20


if __name__ == "__main__":
    main()
