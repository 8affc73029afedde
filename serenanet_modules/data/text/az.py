"""Azerbaijani, whose dotted and dotless i are those of Turkish."""

from serenanet_modules.data.text.tr import normalise

__all__ = ["normalise"]
