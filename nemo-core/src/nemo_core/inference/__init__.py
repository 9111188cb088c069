"""Text generation: one engine with continuous batching, used by every package that samples.

The life of a request: it waits in order (`scheduler`), is admitted to a row of the key/value cache (`kv_cache`), its
prompt is read at once (`packed`), then each step adds one token (`sampling`) until it ends; the rows stay dense.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .batch import generate
    from .engine import Engine
    from .request import Completion, Delta, Request, SamplingParams

__all__ = ["Completion", "Delta", "Engine", "Request", "SamplingParams", "generate"]

PLACES = {
    "Completion": "request",
    "Delta": "request",
    "Engine": "engine",
    "Request": "request",
    "SamplingParams": "request",
    "generate": "batch",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for: this package also holds settings, which must load without torch."""
    if name not in PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{PLACES[name]}"), name)
