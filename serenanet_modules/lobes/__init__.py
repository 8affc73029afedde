"""Network parts.

An encoder-like lobe maps (x (B, T, F), lengths (B,) frames) to the same pair; past a length its output is zero.
A front end also says its ``output_stride``: T frames become ceil(T / output_stride).
"""
