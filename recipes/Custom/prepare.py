"""Manifest files of one's own; serenanet_modules/data/custom.py reads them for all recipes."""

from serenanet_modules.data.custom import candidates

__all__ = ["candidates"]
