"""Export language models and serve them over an OpenAI-compatible API."""

__version__ = "0.1.0"
