"""What a run has to do, written down so that every worker, and a later resumption, reads the same."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import msgspec

from ..foundation.atomic import write_text
from ..pipeline import Pipeline
from ..read.files import InputFile
from ..read.records import Reading

PLAN = "plan.json"
MAX_FILES = 1000


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Pipeline, reading settings and the files of each shard."""

    pipeline: Pipeline
    reading: Reading
    shards: list[list[InputFile]]


def group(files: Sequence[InputFile], *, shard_bytes: int) -> list[list[InputFile]]:
    """Neighbouring files gathered into shards of about `shard_bytes`; a function of the input alone."""
    shards: list[list[InputFile]] = []
    room = 0
    for file in files:
        if not shards or room < file.weight or len(shards[-1]) >= MAX_FILES:
            shards.append([])
            room = shard_bytes
        shards[-1].append(file)
        room -= file.weight
    return shards


def save(plan: Plan, folder: Path) -> None:
    """Write the plan into the run's work folder."""
    plain = {
        "pipeline": plan.pipeline.plain(),
        "reading": msgspec.to_builtins(plan.reading),
        "shards": msgspec.to_builtins(plan.shards, enc_hook=str),
    }
    write_text(folder / PLAN, json.dumps(plain))


def stamp(folder: Path) -> tuple[int, int]:
    """What tells the plan of this run from that of an earlier run with the same output."""
    found = (folder / PLAN).stat()
    return found.st_mtime_ns, found.st_ino


def load(folder: Path) -> Plan:
    """The plan of the run whose work folder this is."""
    return load_stamped(folder, stamp(folder))


@lru_cache(maxsize=4)
def load_stamped(folder: Path, written: tuple[int, int]) -> Plan:
    """The plan that was written there then."""
    plain = json.loads((folder / PLAN).read_text(encoding="utf-8"))
    return Plan(
        pipeline=Pipeline.parse(plain["pipeline"]),
        reading=msgspec.convert(plain["reading"], Reading),
        shards=[[InputFile(**{**file, "path": Path(file["path"])}) for file in shard] for shard in plain["shards"]],
    )
