"""A corpus with so many minutes of its training speech, to see what can be had from little.

    python benchmarks/shorter.py CORPUS --minutes 10 --out DIR

CORPUS is laid out as Common Voice is, and so is DIR: utterances of train are drawn by a seed, dev and test are the
same, and the clips stay where they are.
"""

import argparse
import random
from itertools import accumulate
from pathlib import Path

from serenanet_modules.data.audio import seconds


def arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--minutes", type=float, required=True, help="of train that are kept, at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args(argv)


def main(options):
    head, *rows = (options.corpus / "train.tsv").read_text(encoding="utf-8").splitlines()
    random.Random(options.seed).shuffle(rows)
    place = head.split("\t").index("path")
    ends = list(accumulate(seconds(options.corpus / "clips" / row.split("\t")[place]) / 60 for row in rows))
    kept = [row for row, end in zip(rows, ends, strict=True) if end <= options.minutes]
    if not kept:
        raise SystemExit(f"the first utterance drawn has {ends[0]:.1f} minutes; give more --minutes")
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "train.tsv").write_text("\n".join([head, *kept]) + "\n", encoding="utf-8")
    for name in ("dev.tsv", "test.tsv"):
        (options.out / name).write_bytes((options.corpus / name).read_bytes())
    if not (clips := options.out / "clips").exists():
        clips.symlink_to((options.corpus / "clips").resolve())
    print(f"{options.out}: {len(kept)} of {len(rows)} utterances, {ends[len(kept) - 1]:.1f} minutes")


if __name__ == "__main__":
    main(arguments())
