"""Text generation: one engine with continuous batching, used by every package that samples.

The life of a request: `Engine.add` checks it and puts it in line; `scheduler.plan_step` decides which slots compute
which tokens; `runner.Runner` computes them and fills the `KVCache`; `sampling.draw` picks the next tokens; `sequence`
turns them into text and decides whether the answer has ended. Nothing heavy is imported before it is used.
"""

from typing import TYPE_CHECKING, Any

from .request import Completion, Delta, FinishReason, Request, SamplingParams

if TYPE_CHECKING:
    from .completions import generate
    from .engine import Engine

__all__ = ["Completion", "Delta", "Engine", "FinishReason", "Request", "SamplingParams", "generate"]


def __getattr__(name: str) -> Any:
    """`Engine` and `generate`, which need torch, on first use."""
    if name == "Engine":
        from .engine import Engine

        return Engine
    if name == "generate":
        from .completions import generate

        return generate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
