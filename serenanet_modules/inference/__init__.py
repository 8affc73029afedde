"""Trained models at work: open a result folder, transcribe audio, stream it.

- `recognizer`: files or samples in, `transcript`s out.
- `streaming`: an utterance while it comes in; `endpointing`: speech that goes on, sentence by sentence;
  `live`: files, pipes and microphones as sound that comes in.
- `timestamps`: times and confidences of decoded text; `align`: those of a known one.
- `formats`, `subtitles`: transcripts as text files; `files`: which audio is meant, and where its text goes.
- `evaluate`: error rates on any corpus.
"""
