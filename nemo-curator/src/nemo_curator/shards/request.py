"""What an unfinished run was asked for, so that it can be continued without asking again."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..foundation import artifact
from ..foundation.atomic import write_text
from ..foundation.settings import to_plain
from ..read.files import Listing

REQUEST = "request.json"


@dataclass(frozen=True, kw_only=True)
class Request:
    """Settings (as "module:class" and values), the folder that they were given in, and what the inputs were then."""

    settings: str
    values: dict[str, Any]
    folder: str
    inputs: dict[str, dict[str, str]]
    files: dict[str, int]


def save(work: Path, settings: Any, listing: Listing, inputs: Mapping[str, Path]) -> None:
    """Write it into the work folder of a run that begins or goes on."""
    kind = type(settings)
    plain = {
        "settings": f"{kind.__module__}:{kind.__qualname__}",
        "values": to_plain(settings),
        "folder": str(Path.cwd()),
        "inputs": artifact.describe_inputs(inputs),
        "files": {file.name: file.num_bytes for file in listing.files},
    }
    write_text(work / REQUEST, json.dumps(plain))


def load(work: Path) -> Request | None:
    """What `save` wrote; None where there is nothing to read."""
    try:
        return Request(**json.loads((work / REQUEST).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
