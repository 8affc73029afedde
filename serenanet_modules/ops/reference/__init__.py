"""Slow float64 loops written from the papers' equations, for tests and for the self-check."""
