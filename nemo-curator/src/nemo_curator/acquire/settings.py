"""Settings of ``nemo-curator acquire``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta


@dataclass(frozen=True, kw_only=True)
class Acquire:
    """Where raw pages come from."""

    source: Annotated[
        Literal["python-docs"],
        Meta(description="python-docs: the documentation of the running Python's standard library"),
    ]
    output: Annotated[Path, Meta(description="folder of the raw-web artifact to make")]
    overwrite: Annotated[bool, Meta(description="replace the output where it exists")] = False
    workers: Annotated[int, Meta(ge=0, description="processes; 0 is one per core")] = 0
    modules: Annotated[list[str] | None, Meta(description="only these modules and what is in them")] = None
