"""Does a Whisper say here what it says in transformers, word for word, and what do both take?

    python benchmarks/whisper.py FOLDER MANIFEST --language en --every 5

Each reads the audio clip by clip, greedily, behind the same labels of language and task, in float32 on the CPU.
"""

import argparse
import time
from pathlib import Path

import torch

from serenanet_modules.cli.values import count
from serenanet_modules.data.asked import candidates
from serenanet_modules.data.audio import load
from serenanet_modules.inference.recognizer import Recognizer


def theirs(folder, language):
    """``transcribe(samples) -> text`` by transformers."""
    from transformers import AutoTokenizer, WhisperFeatureExtractor, WhisperForConditionalGeneration

    model = WhisperForConditionalGeneration.from_pretrained(folder, local_files_only=True).eval()
    tokenizer, extractor = AutoTokenizer.from_pretrained(folder), WhisperFeatureExtractor.from_pretrained(folder)
    asked = {"language": language, "task": "transcribe"} if model.generation_config.is_multilingual else {}

    def transcribe(samples):
        x = extractor(samples, sampling_rate=16000, return_tensors="pt").input_features
        tokens = model.generate(x, num_beams=1, do_sample=False, return_timestamps=False, **asked)
        return tokenizer.decode(tokens[0], skip_special_tokens=True)

    return transcribe


def ours(folder, language):
    """The same by this project; also whether the first decoding looped."""
    recognizer = Recognizer.from_folder(folder, language=language)

    def transcribe(samples):
        (found,) = recognizer.transcribe([samples])
        return found.text, any(segment.looped for segment in found.segments)

    return transcribe


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="a Whisper as transformers write it")
    parser.add_argument("data", help="a manifest, as `serenanet evaluate` takes it")
    parser.add_argument("--split", default="test")
    parser.add_argument("--language", required=True)
    parser.add_argument("--every", type=count, default=1, metavar="N", help="of the clips in order, every Nth")
    a = parser.parse_args(argv)
    asked = {"data": a.data, "locale": a.language, "data_folder": None, "split": a.split, "options": []}
    rows = candidates(**asked)[:: a.every]
    peer, own = theirs(str(a.folder), a.language), ours(a.folder, a.language)
    alike = looped = words = seconds = 0
    taken = [0.0, 0.0]
    for row in rows:
        samples = load(row.path)
        with torch.inference_mode():
            start = time.process_time()
            want = peer(samples).split()
            middle = time.process_time()
            text, again = own(samples)
        taken = [taken[0] + middle - start, taken[1] + time.process_time() - middle]
        seconds, looped, words = seconds + len(samples) / 16000, looped + again, words + len(want)
        if want == text.split():
            alike += 1
        else:
            print(f"{row.id}{' (looped)' * again}\n  transformers: {' '.join(want)}\n  here:         {text}")
    print(f"{alike} of {len(rows)} clips ({words} words, {seconds:.0f} s) have equal texts; {looped} looped here")
    print(f"seconds of CPU time: transformers {taken[0]:.1f}, here {taken[1]:.1f}")


if __name__ == "__main__":
    main()
