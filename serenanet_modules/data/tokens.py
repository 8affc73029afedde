"""Tokens of a public language model, and the prompt that its user asks it with."""

from pathlib import Path

from serenanet_modules.errors import UserError

FILE = "tokenizer.json"
CONTEXT = "Names and words that may be said: {}.\n"  # of a context, before the sound
DRAFT = "It may be: {}.\n"  # of a draft, after the context
MOST_BYTES = 2**26


def one_context(*contexts):
    """One context of several, of which some may be empty or None: names and words with commas between.

    >>> one_context("Wanjiku, Juma", "", None, "kisu")
    'Wanjiku, Juma, kisu'
    """
    return ", ".join(filter(None, contexts))


def read_tokenizer(file):
    """The library's tokenizer of a tokenizer.json (Path); a UserError for what is none."""
    from tokenizers import Tokenizer  # of the extra `pretrained`

    try:
        if file.stat().st_size > MOST_BYTES:
            raise ValueError("it is far too long")
        return Tokenizer.from_file(str(file))
    except Exception as error:  # the library's own are plain ones
        raise UserError(f"{file}: cannot be read as a tokenizer ({error})") from None


class Tokens:
    """A tokenizer as transformers write it, and a prompt.

    Parameters
    ----------
    file : Path
        Its tokenizer.json; data only.
    prompt : sequence of str
        Three texts: before a context, between it and the sound, after the sound.
    end : sequence of int
        Tokens that end a text.
    size : int
        Of the language model's vocabulary.

    Raises
    ------
    UserError
        For a file that is no tokenizer, or one of more tokens than the model has.
    """

    def __init__(self, file, prompt, end, size):
        self.file, self.prompt, self.end = Path(file), tuple(prompt), tuple(end)
        self._tokenizer = read_tokenizer(self.file)
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        if self._tokenizer.get_vocab_size() > size:
            raise UserError(f"{file}: has {self._tokenizer.get_vocab_size()} tokens, the language model only {size}")

    def encode(self, text):
        """Tokens of a text, without its end; what looks like a mark of the prompt is text here."""
        return self._encoded(text, marks=False)

    def decode(self, tokens):
        """The text of tokens, special ones left out, with single spaces."""
        return " ".join(self._tokenizer.decode(list(tokens), skip_special_tokens=True).split())

    def around(self, context="", draft=""):
        """Tokens before and after the sound; a context, such as names, and a draft of the text stand before it."""
        first, between, last = self.prompt
        given = zip((CONTEXT, DRAFT), (" ".join(text.split()) for text in (context, draft)), strict=True)
        told = "".join(words.format(text) for words, text in given if text)
        before = [*self._encoded(first), *self.encode(told), *self._encoded(between)]
        return before, self._encoded(last)

    def _encoded(self, text, marks=True):
        self._tokenizer.encode_special_tokens = not marks
        return self._tokenizer.encode(text, add_special_tokens=False).ids
