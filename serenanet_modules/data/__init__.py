"""From a corpus to batches: manifest, preparation, text, phonemes, units, audio, augmentation."""
