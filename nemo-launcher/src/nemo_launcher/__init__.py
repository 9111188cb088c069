"""Run whole language-model workflows, on a laptop or a cluster, and survive any crash."""

__version__ = "0.1.0"
