"""SerenaNet: state-space speech recognition for languages with little data."""

__version__ = "0.1.0"
