"""What an acquisition tells when it is done."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Acquired:
    """What was acquired; `failed` says why for each module or address that was not."""

    output: Path
    failed: dict[str, str]
    pages: int = 0
    files: int = 0
    bytes: int = 0
