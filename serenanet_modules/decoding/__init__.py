"""From audio in pieces to text: a network's outputs, and all that decodes them.

- `network`: a trained network reads audio of any length, in pieces and batches; `rows`: its outputs kept for later.
- `decoder`: what all decoders share, `decode(outputs, lengths)` -> `Hypothesis`; `decoders`: makes them all.
- `greedy`: the best label of every frame, collapsed; with the frame each label starts at; piece by piece.
- `beam`: CTC prefix beam search with or without an n-gram model, and lexicon beam search from phonemes to words, which
  `lexicon` spells. `words` says what words score, `tree` holds their spellings, `search` is the search in Python, `cpp`
  the same compiled.
- `attention`: greedy and beam search over label sequences by an attention decoder, jointly with CTC (`ctc_prefix`) and
  with language models (`label_lm`).
- `ngram`: ARPA models from text (with lmplz, IRSTLM or our own `kneser_ney`); `arpa`: read, asked, and perplexity.
- `tuning`: language model weight and word score from development data.

Log-probabilities are natural logarithms, float32, (T, V) or (B, T, V); blank is label 0.
"""
