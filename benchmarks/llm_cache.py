"""How much faster does a public language model write with its cache of keys and values than without?

    OMP_NUM_THREADS=1 python benchmarks/llm_cache.py SMOLLM2 --prefix 60 --tokens 60

SMOLLM2 is a folder as `transformers` writes it. Behind a prefix of random embeddings the likeliest token is taken,
again and again, as a speech LLM does greedily; without the cache, all that came before is read anew for each. Both ways
take turns, and have to write the same tokens. CPU time of the process, medians over rounds.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from serenanet_modules.lobes.pretrained import CausalLM  # noqa: E402
from serenanet_modules.runs.public_lm import LanguageModelFolder  # noqa: E402
from serenanet_modules.runs.public_parts import take_weights  # noqa: E402


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="of the language model")
    parser.add_argument("--prefix", type=int, default=60, help="embeddings that are there before (60)")
    parser.add_argument("--tokens", type=int, default=60, help="that are written (60)")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(argv)
    model = CausalLM(**LanguageModelFolder(options.folder).told()).eval()
    take_weights(model)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(1, options.prefix, model.size, generator=generator) * model.rms
    taken = {True: [], False: []}
    for _ in range(options.rounds):
        written = []
        for cached in taken:
            began = time.process_time()
            written.append(write(model, x, options.tokens, cached))
            taken[cached].append(time.process_time() - began)
        if written[0] != written[1]:
            raise SystemExit("with the cache other tokens are written than without")
    told = {cached: statistics.median(times) for cached, times in taken.items()}
    print(f"{options.tokens} tokens behind {options.prefix} embeddings: {told[True]:.2f} s with the cache, ", end="")
    print(f"{told[False]:.2f} s without, {told[False] / told[True]:.1f} times; the same tokens")


@torch.no_grad()
def write(model, x, count, cached):
    """The likeliest ``count`` tokens behind embeddings (1, L, size)."""
    cache, found, new = model.start() if cached else None, [], x
    for _ in range(count):
        valid = torch.ones(1, x.shape[1], dtype=torch.bool)
        logits = model(new if cached else x, valid, 1, cache)
        found.append(int(logits[0, -1].argmax()))
        new = model.embed(torch.tensor([found[-1:]]))
        x = torch.cat([x, new], 1)
    return found


if __name__ == "__main__":
    main()
