"""Clean, filter and deduplicate text for training language models."""

__version__ = "0.1.0"
