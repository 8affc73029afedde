"""What the searches know of words: how units spell them, and what they score."""

from bisect import bisect_left
from copy import copy
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from serenanet_modules.decoding import kneser_ney
from serenanet_modules.decoding.arpa import NGram
from serenanet_modules.decoding.kneser_ney import SPECIAL
from serenanet_modules.decoding.lexicon import Lexicon
from serenanet_modules.decoding.tree import OFF, Tree
from serenanet_modules.errors import UserError

# Chosen on dev sets, of real Swahili and of the embedded corpus, with models of 4 words to 540 sentences
NOVELTY = 4.0  # power of the share of new words that p(<unk>) is
DOUBT = 80.0  # new words that every model is taken to have met beside its own
SPELLING_ORDER = 4  # of the n-grams of letters
USUAL, USUAL_JOINT = (1.0, 3.0), (0.1, 1.0)  # shares of `usual_weights` and word scores, without attention and with it


class Context(NamedTuple):
    """Where a hypothesis stands among the words.

    Attributes
    ----------
    base, ahead : float
        Score of the words that are over, and what the unfinished one is taken to score.
    state : int
        Of the n-grams of words.
    tree : int
        Node of the spellings, or `OFF`.
    letters : int
        Symbols of the unfinished word.
    spelling : int
        State of the n-grams of letters.
    spelled : float
        Ln p of its letters, if it is unknown.
    """

    base: float
    ahead: float
    state: int
    tree: int
    letters: int
    spelling: int
    spelled: float


class Words:
    """Scores of words: ``lm_weight * ln p(word | words before) + word_score``.

    A word that the n-grams lack scores ``lm_weight * (ln p(<unk> | words before) + (1 - new) ln p(its letters))``, and
    no ``word_score``, which makes up for what a model's words cost. Here ``new`` is the share of words that were new in
    the text of the n-grams, estimated by those met once (Good, 1953), and ``new ** 4`` is p(<unk>), for which the tools
    write all sorts of numbers. The letters' n-grams come from the spellings of the model's words. So a model of few
    words changes little, and one that knows a language says no to what is no word of it.

    An unfinished word is taken to score what the likeliest word that begins so would without context, and as an unknown
    one as soon as none does.

    Parameters
    ----------
    units : Units
    ngram : NGram, optional
        Without it all words are equally likely.
    lexicon : Lexicon, optional
        Only these words can be written, as it spells them, with a boundary between.
    lm_weight, word_score : float
    hotwords : mapping of str to float, optional
        Words that are expected, and what each scores more; while it is unfinished, its share of letters. Where the
        n-grams lack one, it is as likely as their rarest word: ``rarity`` more than ln p(<unk>), which is that of all
        unknown words together. It pays for no letters.

    Raises
    ------
    UserError
        For a hotword that cannot be spelled.
    """

    def __init__(
        self, units: Any, ngram=None, lexicon: Lexicon | None = None, lm_weight=0.5, word_score=0.0, hotwords=None
    ):
        self.units, self.lexicon = units, lexicon
        self.lm_weight, self.word_score = lm_weight, word_score
        self.breaks = [
            i != units.blank_id and piece.startswith(units.boundary) for i, piece in enumerate(units.spelling)
        ]
        self.hotwords = dict(hotwords or {})
        self.has_ngram, self.ngram, self.letters = ngram is not None, NGram.empty(), NGram.empty()
        self.known, new, self.rarity = {}, 1.0, 0.0
        if ngram is not None:
            self.known, new = ngram.words, new_words(ngram)
            self.ngram = ngram.with_unknown(NOVELTY * np.log(new))
            self.rarity = min(0.0, _ordinary(ngram, ngram.unigrams).min(initial=0.0) - self.ngram.unigrams[0])
        self.boundary = -1 if lexicon is None else units.pieces.index(units.boundary)
        self.tree = Tree(self._spell_as_written(1.0 - new) if lexicon is None else self._spell_as_listed())
        endings = [self.names[word] for word in self.tree.ending_word]
        self.ending_known = np.array([self.known.get(name, 0) for name in endings], np.int32)
        self._promised = np.array([self.hotwords.get(name, 0.0) for name in endings])
        self._rarer = np.array([self.rarity * (name in self.hotwords and name not in self.known) for name in endings])

    def _spell_as_written(self, share):
        """Words are spelled by the strings of units; symbols are letters."""
        units = self.units
        written = [piece.removeprefix(units.boundary) for piece in units.spelling]
        written[units.blank_id] = ""
        alphabet = set("".join(written))
        for word in self.hotwords:
            if missing := sorted(set(word) - alphabet):
                raise UserError(
                    f"Hotword {word!r}: the recogniser's units lack {missing[0]!r}; spell it in their letters."
                )
        known = [word for word in self.known if word not in SPECIAL and set(word) <= alphabet]
        self.names = [*known, *(word for word in self.hotwords if word not in self.known)]
        letters = _letters(known, sorted(alphabet)) if self.has_ngram or self.hotwords else NGram.empty()
        numbers = letters.words
        if self.has_ngram:
            self.letters = letters.scaled(share)
        else:  # letters tell words apart and cost nothing
            self.letters = letters.scaled(0.0)
        self.spelt = [[numbers.get(letter, 0) for letter in word] for word in written]
        return [([numbers[letter] for letter in word], i) for i, word in enumerate(self.names)]

    def _spell_as_listed(self):
        """Words are spelled by a lexicon; symbols are units."""
        self.lexicon.check(self.units.size, self.units.blank_id, self.boundary)
        self.names = self.lexicon.words
        if missing := sorted(self.hotwords.keys() - set(self.names)):
            raise UserError(f"Hotword {missing[0]!r}: is not in the recogniser's lexicon; leave it out.")
        self.spelt = [[unit] for unit in range(self.units.size)]
        return [(spelling, i) for i, word in enumerate(self.names) for spelling in self.lexicon.spellings[word]]

    def with_weights(self, lm_weight, word_score):
        """The same words, weighed in another way."""
        other = copy(self)
        for name in ("ahead", "_ahead", "_plain"):
            other.__dict__.pop(name, None)
        other.lm_weight, other.word_score = lm_weight, word_score
        return other

    @property
    def bonus(self):
        """What each ending of the tree scores beside its n-grams and ``word_score`` (E,)."""
        return self._promised + self.lm_weight * self._rarer

    @cached_property
    def ahead(self):
        """Of each node of the tree, what an unfinished word there is taken to score (nodes,)."""
        scores = self.lm_weight * (self.ngram.unigrams[self.ending_known] + self._rarer) + self.word_score
        ahead = self.tree.best_ahead(scores)
        for ending in np.flatnonzero(self._promised):
            path = self.tree.path(ending)
            share = self._promised[ending] * np.arange(len(path)) / (len(path) - 1)
            ahead[path] = np.maximum(ahead[path], scores[ending] + share)
        return ahead

    # --- one hypothesis, in plain Python ------------------------------------------------------------------------------

    def start(self):
        """The `Context` of an empty hypothesis."""
        return self.begin(0.0, self.ngram.first)

    def begin(self, base, state):
        """The context before a word's first letter."""
        return Context(base, 0.0, state, 0, 0, self.letters.first, 0.0)

    def extend(self, context, unit):
        """The context after a unit."""
        if self.breaks[unit]:
            context = self.begin(*self.completed(context))
        for symbol in self.spelt[unit]:
            context = self._spell(context, symbol)
        return context

    def completed(self, context):
        """Score and n-gram state after the unfinished word, which is over."""
        if not context.letters:
            return context.base, context.state
        if context.tree != OFF:
            first, end = self.endings(context.tree)
            if first < end:
                return self.completed_as(context, first)
        spelled = context.spelled
        if self.letters.end >= 0:
            spelled += self.letters.step(context.spelling, self.letters.end)[1]
        state, logprob = self.ngram.step(context.state, 0)
        if not self.has_ngram:
            return context.base + self.word_score, state
        return context.base + self.lm_weight * (logprob + spelled), state

    def completed_as(self, context, ending):
        """The same with one of the words that end at its node."""
        known, bonus = self._plain["known"][ending], self._plain["bonus"][ending]
        state, logprob = self.ngram.step(context.state, known)
        return context.base + (self.lm_weight * logprob + self.word_score + bonus), state

    def endings(self, node):
        """First and last + 1 of the endings at a node of the tree."""
        endings = self._plain["endings"]
        return endings[node], endings[node + 1]

    def finished(self, context):
        """The score of a hypothesis that is over."""
        return self.ended(*((context.base, context.state) if self.lexicon else self.completed(context)))

    def ended(self, base, state):
        """The score of a hypothesis whose last word is over."""
        return base + self.lm_weight * self.ngram.finish(state)

    def _spell(self, context, symbol):
        base, ahead, state, tree, letters, spelling, spelled = context
        spelling, cost = (spelling, 0.0) if self.lexicon else self.letters.step(spelling, symbol)
        spelled += cost
        if tree == OFF:
            ahead += self.lm_weight * cost
        else:
            edges, symbols = self._plain["edges"], self._plain["symbol"]
            at = bisect_left(symbols, symbol, edges[tree], edges[tree + 1])
            tree = at + 1 if at < edges[tree + 1] and symbols[at] == symbol else OFF
            if tree != OFF:
                ahead = self._ahead[tree]
            elif self.has_ngram:
                ahead = self.lm_weight * (self.ngram.step(state, 0)[1] + spelled)
            else:
                ahead = self.word_score
        return Context(base, ahead, state, tree, letters + 1, spelling, spelled)

    @cached_property
    def _ahead(self):
        return self.ahead.tolist()

    @cached_property
    def _plain(self):
        """Arrays as plain lists, which are several times as fast to index."""
        tree = self.tree
        arrays = {"edges": tree.edges, "symbol": tree.symbol, "endings": tree.endings}
        arrays |= {"known": self.ending_known, "bonus": self.bonus}
        return {name: array.tolist() for name, array in arrays.items()}


def _ordinary(ngram, values):
    """What of values, one a word, those of words that are no border and not unknown have."""
    return np.delete(values, [ngram.words[name] for name in SPECIAL if name in ngram.words])


def usual_weights(ngram, joint=False):
    """Weights of n-grams for a recogniser whose dev data cannot be asked for them.

    They count as much as the share of words that they know of text such as theirs, so that a model of few words changes
    little; in a search joint with attention, which knows words itself, a tenth of that.

    Returns
    -------
    dict of str to float
        ``lm_weight`` and ``word_score``.
    """
    share, word_score = USUAL_JOINT if joint else USUAL
    return {"lm_weight": share * (1.0 - new_words(ngram)), "word_score": word_score}


def new_words(ngram):
    """The share of words in the text of n-grams that were new there, from 0 to 1."""
    size = len(ngram.words)
    if ngram.order > 1:  # after how many different words each word was met
        met = _ordinary(ngram, np.bincount(ngram.word[ngram.begin[1] : ngram.begin[1 + size]], minlength=size))
    else:
        likely = _ordinary(ngram, np.exp(ngram.unigrams))
        met = np.round(likely / likely.min(initial=1.0))
    return float((DOUBT + (met == 1).sum()) / (DOUBT + met.sum()))


def _letters(names, alphabet):
    """N-grams of letters, of words each counted once; every letter is a word, too, so that none is unknown."""
    words, levels = kneser_ney.estimate([*map(list, names), *map(list, alphabet)], SPELLING_ORDER)
    return NGram.of_lines(kneser_ney.arpa_lines(words, levels))
