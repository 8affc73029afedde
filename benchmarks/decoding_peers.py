"""The peers' side of `decoding.py`: answers [name, split, beam, weights] with [seconds, texts], line by line."""

import functools
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from kept import read

BOUNDARY = "▁"


def main(arpa, kept, pieces):
    pieces = json.loads(pieces)
    utterances = {split: read(Path(kept) / f"{split}.npz") for split in ("dev", "test")}
    makers = {"pyctcdecode": pyctcdecode, "torchaudio": torchaudio}
    words = vocabulary(arpa)

    @functools.cache
    def decoder(name, beam, lm_weight, word_score):
        return makers[name](arpa, pieces, words, beam, lm_weight, word_score)

    for question in sys.stdin:
        name, split, *options = json.loads(question)
        decode = decoder(name, *options)
        decode(utterances[split][0][3][0])
        began = time.process_time()
        texts = [" ".join(filter(None, map(decode, rows))) for *_, rows in utterances[split]]
        print(json.dumps([time.process_time() - began, texts]), flush=True)


def vocabulary(arpa):
    """The words of an ARPA file."""
    lines = Path(arpa).read_text(encoding="utf-8").split("\\1-grams:\n")[1].split("\n\\")[0].splitlines()
    return [word for word in (line.split()[1] for line in lines if line.strip()) if word[0] != "<"]


def pyctcdecode(arpa, pieces, words, beam, lm_weight, word_score):
    from pyctcdecode import build_ctcdecoder

    labels = ["", *(" " if piece == BOUNDARY else piece for piece in pieces[1:])]
    decoder = build_ctcdecoder(labels, arpa, words, alpha=lm_weight, beta=word_score)
    return lambda log_probs: decoder.decode(log_probs, beam_width=beam)


def torchaudio(arpa, pieces, words, beam, lm_weight, word_score):
    import torch
    from torchaudio.models.decoder import ctc_decoder

    spelt = [word for word in words if set(word) <= set(pieces)]
    with tempfile.NamedTemporaryFile("w", suffix=".lexicon", encoding="utf-8") as lexicon:
        lexicon.writelines(f"{word} {' '.join(word)} {BOUNDARY}\n" for word in spelt)
        lexicon.flush()
        decoder = ctc_decoder(
            lexicon.name, pieces, lm=arpa, beam_size=beam, lm_weight=lm_weight, word_score=word_score,
            blank_token=pieces[0], sil_token=BOUNDARY,
        )  # fmt: skip
    return lambda log_probs: " ".join(decoder(torch.from_numpy(log_probs[np.newaxis]))[0][0].words)


if __name__ == "__main__":
    main(*sys.argv[1:])
