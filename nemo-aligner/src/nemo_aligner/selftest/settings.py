"""Settings of ``nemo-aligner selftest``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta


@dataclass(frozen=True, kw_only=True)
class SelftestSettings:
    """Learn the toy tasks and compare with their pass lines."""

    cluster: Annotated[Literal["inline", "ray"], Meta(description="where roles run")] = "inline"
    folder: Annotated[Path | None, Meta(description="keep data and models in this new folder; unset: thrown away")] = (
        None
    )
    seed: Annotated[int, Meta(ge=0, description="of data, model and sampling")] = 0
