"""Network parts.

An encoder-like lobe maps (x (B, T, F), lengths (B,) frames) to the same pair; past a length its output is zero.
"""
