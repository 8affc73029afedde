"""What the words of a sentence score, added up from the parts of `Words`."""


def sentence_score(words, sentence):
    """Of words in a list, the end of the sentence included."""
    state, total = words.ngram.start(), 0.0
    for word in sentence:
        known = words.known.get(word, 0)
        state, logprob = words.ngram.step(state, known)
        if known or words.lexicon or word in words.hotwords or not words.has_ngram:
            rarity = words.rarity if word in words.hotwords and not known else 0.0
            total += words.lm_weight * (logprob + rarity) + words.word_score + words.hotwords.get(word, 0.0)
        else:
            total += words.lm_weight * (logprob + spelling_score(words.letters, word))
    return total + words.lm_weight * words.ngram.finish(state)


def spelling_score(letters, word):
    """Ln p of a word's letters and its end."""
    state, total = letters.start(), 0.0
    for letter in word:
        state, logprob = letters.score(state, letter)
        total += logprob
    return total + letters.finish(state)
