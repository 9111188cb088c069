"""A stage's progress file as text."""

from typing import Any

from .format import count, duration

BAR_CELLS = 20


def progress_parts(progress: dict[str, Any]) -> list[str]:
    """Bar, count, rate, time left and note from a progress file."""
    if not progress:
        return []
    done, total, elapsed = progress.get("done", 0), progress.get("total"), progress.get("elapsed_s") or 0.0
    rate = done / elapsed if elapsed else 0.0
    parts = [str(progress.get("label", ""))]
    if total:
        filled = min(BAR_CELLS, BAR_CELLS * done // total)
        parts.append(f"{'█' * filled}{'░' * (BAR_CELLS - filled)} {count(done)}/{count(total)}")
    elif done:
        parts.append(f"{count(done)} {progress.get('unit', '')}")
    if rate and done != total:
        parts.append(f"{count(rate)} {progress.get('unit', '')}/s")
    if rate and total and done < total:
        parts.append(f"{duration((total - done) / rate)} left")
    return [*parts, *([str(progress["note"])] if progress.get("note") else [])]
