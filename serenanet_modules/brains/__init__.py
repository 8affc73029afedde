"""SpeechBrain Brains: one shared training loop that resumes exactly, and one class per kind of model."""
