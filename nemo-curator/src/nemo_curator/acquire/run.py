"""``nemo-curator acquire``: raw pages or texts of a source as a raw-web artifact."""

from importlib import import_module

from .result import Acquired
from .settings import Acquire


def run(settings: Acquire) -> Acquired:
    """Render the documentation of the running Python, or download the files of another source."""
    chosen = "python_docs" if settings.source == "python-docs" else "fetch"
    acquired: Acquired = import_module(f"{__package__}.{chosen}").run(settings)
    return acquired
