"""Trained models at work: open a result folder, transcribe audio.

- `segment`: long audio cut where it is quiet.
- `recognizer`: files or samples in, text out.
"""
