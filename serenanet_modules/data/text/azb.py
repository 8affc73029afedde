"""South Azerbaijani, which is written in Arabic letters: not by the rule of Azerbaijani."""

from serenanet_modules.data.text.default import normalise

__all__ = ["normalise"]
