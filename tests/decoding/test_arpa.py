"""ARPA files: of tools, of other orders, with gaps; broken ones are one sentence."""

import math
import random
import resource

import pytest

from serenanet_modules.decoding import ngram
from serenanet_modules.decoding.arpa import NGram
from serenanet_modules.errors import UserError

GOOD = """\\data\\
ngram 1=5
ngram 2=3
ngram 3=2

\\1-grams:
-1.0 <unk>
-99 <s> -0.5
-0.8 </s>
-0.6 a -0.3
-0.5 b -0.2

\\2-grams:
-0.4 <s> a -0.1
-0.3 a b -0.25
-0.2 b </s>

\\3-grams:
-0.15 <s> a b
-0.7 b a b
\\end\\
"""


def write(folder, text):
    path = folder / "lm.arpa"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def log10s(model, sentence):
    state, found = model.start(), []
    for word in sentence.split():
        state, logprob = model.score(state, word)
        found.append(round(logprob / math.log(10), 6))
    return [*found, round(model.finish(state) / math.log(10), 6)]


def test_backing_off(tmp_path):
    """By hand: the longest n-gram there is, and the backoffs of what precedes it."""
    model = NGram(write(tmp_path, GOOD))
    assert log10s(model, "a b") == [-0.4, -0.15, round(-0.25 - 0.2, 6)]
    assert log10s(model, "b x") == [-0.5 - 0.5, -0.2 - 1.0, -0.8]
    # "b a", which the file lacks, is as likely as "a" after b's backoff, and "b a b" goes on from it
    assert log10s(model, "b a b") == [-1.0, -0.2 - 0.6, -0.7, round(-0.25 - 0.2, 6)]


def test_unigrams_alone_are_a_model(tmp_path):
    text = "\\data\\\nngram 1=3\n\n\\1-grams:\n-0.5\t<unk>\n-0.3\t</s>\n-0.4\ta\n\\end\\\n"
    model = NGram(write(tmp_path, text))
    assert log10s(model, "a x a") == [-0.4, -0.5, -0.4, -0.3]


def test_words_without_unk_or_sentence_ends(tmp_path):
    model = NGram(write(tmp_path, "made by hand\n\\data\\\nngram 1=1\n\\1-grams:\n-0.1 a\n\\end\\"))
    assert log10s(model, "a x") == [-0.1, -100.0, 0.0]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("\\data\\", "data", "no line .data"),
        ("ngram 1=5", "ngram 1=-5", "line 2"),
        ("ngram 2=3", "ngram 2=4", "its header says 4 2-grams, and it has 3"),
        ("ngram 2=3", "ngram 2=2", "line 16"),
        ("ngram 3=2", "ngram 4=2", "ngram 3=COUNT"),
        ("-0.6 a", "a", "line 10"),
        ("-0.3 a b -0.25", "-0.3 a b -0.25 more words", "line 15"),
        ("-0.3 a b", "-0.3 a zebra", "'zebra' is not among the 1-grams"),
        ("-0.3 a b", "minus a b", "no number"),
        ("-0.3 a b", "nan a b", "between"),
        ("-0.3 a b -0.25", "-0.3 a b 1e308", "between"),
        ("-0.3 a b", "0.7 a b", "between"),
        ("-0.3 a b -0.25", "-0.4 <s> a", "2-gram is listed twice"),
        ("-0.5 b -0.2", f"-0.5 {'b' * 1001} -0.2", "line 11: a word of 1001 letters"),
        ("-0.5 b -0.2", "-0.5 a -0.2", "'?a'? is listed twice"),
        ("\\end\\\n", "", "ends before"),
        ("\\3-grams:", "", "ends before|line"),
    ],
)
def test_what_is_wrong_is_said(old, new, says, tmp_path):
    assert old in GOOD
    with pytest.raises(UserError, match=f"cannot be read as an ARPA model .*({says})"):
        NGram(write(tmp_path, GOOD.replace(old, new, 1)))


def test_not_text(tmp_path):
    with pytest.raises(UserError, match="not UTF-8"):
        NGram(write(tmp_path, b"\\data\\\n\xff\xfe"))


def mutated(text, draw):
    """A copy with bytes changed, lines dropped, repeated or swapped, or numbers replaced."""
    data = bytearray(text.encode())
    for _ in range(draw.randint(1, 3)):
        lines = bytes(data).split(b"\n")
        at, other = draw.randrange(len(lines)), draw.randrange(len(lines))
        kind = draw.randrange(6)
        if kind == 0:
            data[draw.randrange(len(data))] = draw.randrange(256)
            continue
        if kind == 1:
            del lines[at]
        elif kind == 2:
            lines.insert(at, lines[other])
        elif kind == 3:
            lines[at], lines[other] = lines[other], lines[at]
        elif kind == 4:
            fields = lines[at].split(b" ")
            wild = (b"-1e400", b"1e308", b"nan", b"999999999999", b"-1", b"\\end\\", b"", b"1_0", b"\xc2\xa0")
            fields[draw.randrange(len(fields))] = draw.choice(wild)
            lines[at] = b" ".join(fields)
        else:
            lines = lines[: at + 1]
        data = bytearray(b"\n".join(lines) or b"\n")
    return bytes(data)


def test_no_mutated_file_ends_in_anything_but_a_model_or_a_sentence(tmp_path):
    """Nor takes memory by what it claims to hold; `python -m tests.decoding.test_arpa N` tries N of them."""
    read, refused = fuzz(tmp_path, 500)
    assert read > 20 and refused > 100


def fuzz(folder, count, seed=0):
    """How many of so many files are models, and how many are refused."""
    ngram.estimate(["a b c", "b a", "c c a b"], 3, folder / "own.arpa", "own")
    texts, draw, read = [GOOD, (folder / "own.arpa").read_text()], random.Random(seed), 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(count):
        path = write(folder, mutated(draw.choice(texts), draw))
        try:
            model = NGram(path)
        except UserError:
            continue
        read += 1
        assert all(map(math.isfinite, log10s(model, "a b x c a b")))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024
    return read, count - read


if __name__ == "__main__":
    import sys
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as work:
        print("models, refused:", fuzz(Path(work), int(sys.argv[1]), seed=1))
