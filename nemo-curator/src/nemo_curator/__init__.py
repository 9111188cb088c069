"""Clean, filter and deduplicate text for training language models."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .curation import Curated, curate
    from .estimate.command import plan
    from .pipeline import Pipeline

__all__ = ["Curated", "Pipeline", "curate", "plan"]
_HOMES = {"Curated": "curation", "curate": "curation", "Pipeline": "pipeline", "plan": "estimate.command"}


def __getattr__(name: str) -> Any:
    """Import the public names when they are asked for, so that importing the package stays cheap."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
