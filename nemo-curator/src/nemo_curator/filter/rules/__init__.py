"""The rules in the order in which they are asked; a document goes for the first one that it breaks."""

from . import gopher, nemo, fineweb, c4, data_juicer, code  # noqa: F401, I001 - the order is the order of the rules
from .registry import RULES, Mask, Rule, Scores, rule

__all__ = ["RULES", "Mask", "Rule", "Scores", "rule"]
