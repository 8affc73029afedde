"""Corpora of synthetic speech: sentences that espeak-ng says in many voices, rooms and noises."""
