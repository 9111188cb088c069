"""The HTML report of a workflow run: one page that needs nothing but itself.

`gather` reads a run folder into the values of `view`; `sections` turn them into markup; `page` puts that together.
"""

from pathlib import Path

REPORT = "report.html"


def render_run(run_folder: Path) -> Path:
    """Write ``report.html`` into `run_folder` and return its path.

    The same files give the same bytes. A run that failed or goes on has a report too; what cannot be read is listed in
    it. Raises InputError where `run_folder` is no run folder.
    """
    from ..foundation import atomic
    from ..foundation.errors import InputError
    from .gather.run import gather
    from .page import render_page

    folder = Path(run_folder)
    if not any((folder / name).exists() for name in ("plan.json", "journal.jsonl", "artifacts")):
        raise InputError(f"{folder}: no run folder (it has neither plan.json nor journal.jsonl nor artifacts/)")
    target = folder / REPORT
    atomic.write_text(target, render_page(gather(folder)))
    return target
