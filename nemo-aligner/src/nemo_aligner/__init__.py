"""DPO, GRPO and other alignment of language models, in one process or on Ray."""

__version__ = "0.1.0"
