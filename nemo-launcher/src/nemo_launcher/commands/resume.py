"""``nemo-launcher resume``: continue a run from its folder alone."""

from pathlib import Path
from typing import Any

from ..settings import RunReference
from ..store import find_run
from .execute import execute


def run(settings: RunReference) -> dict[str, Any] | None:
    """Execute the stored plan again; what is done is skipped, what still runs is taken over."""
    folder = find_run(settings.run, Path.cwd())
    with folder.locked():
        return execute(folder.read_plan(), folder)
