"""Text generation: one engine with continuous batching, used by every package that samples.

The life of a request: it waits in order (`scheduler`), is admitted to a row of the key/value cache (`kv_cache`), its
prompt is read at once (`packed`), then each step adds one token (`sampling`) until it ends; the rows stay dense.
"""

from .engine import Engine
from .generate import generate
from .request import Completion, Delta, Request, SamplingParams

__all__ = ["Completion", "Delta", "Engine", "Request", "SamplingParams", "generate"]
