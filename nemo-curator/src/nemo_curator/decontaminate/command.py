"""``nemo-curator decontaminate``: count passages of evaluation sets in all documents, then cut the rare ones out."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ..curation import Curated
from ..foundation.artifact import digest_of
from ..foundation.atomic import atomic_file, write_text
from ..foundation.progress import Progress
from ..foundation.settings import Sourced, convert, to_plain
from ..read.files import InputFile, list_input
from ..read.records import Reading
from ..shards import pool
from ..tables import passage
from ..tables.columns import unified
from ..tables.source import read_batches
from .index import build
from .settings import DecontaminateDocuments
from .step import count_matches, write_common

TARGET = "nemo_curator.decontaminate.command:count_file"


def run(settings: DecontaminateDocuments) -> Curated:
    """Two passes over the documents, or one where no passage counts as common."""
    if settings.max_matches is None or settings.common is not None:
        return passage.run(settings, [passage.command_step(settings, "decontaminate")])
    common = find_common(settings)
    settings = dataclasses.replace(settings, common=common)
    step = passage.command_step(settings, "decontaminate")
    done = passage.run(settings, [step], files={"common.json": common.read_text(encoding="utf-8")})
    common.unlink()
    return done


def find_common(settings: DecontaminateDocuments) -> Path:
    """Count every passage in every file, each in its own file beside the output, and write the common ones."""
    index = build(settings)
    files = list_input(settings.input).files
    plain = {name: value for name, value in to_plain(settings).items() if name not in ("workers", "overwrite")}
    stamp = digest_of([plain, [(f.name, f.num_bytes, f.path.stat().st_mtime_ns) for f in files]])[:16]
    folder = settings.output.with_name(f".{settings.output.name}.matches-{stamp}")
    calls: list[dict[str, Any]] = [
        {
            "settings": plain,
            "file": msgspec.to_builtins(file, enc_hook=str),
            "path": str(folder / f"{number:06d}.npy"),
        }
        for number, file in enumerate(files)
    ]
    with pool.Pool(pool.num_workers(settings.workers)) as workers, Progress("count", total=len(files)) as progress:
        for _ in workers.run(TARGET, [call for call in calls if not Path(call["path"]).is_file()]):
            progress.advance()
    counts = np.zeros(len(index.keys), np.int64)
    for call in calls:
        counts += np.load(call["path"], allow_pickle=False)
    path = folder.with_suffix(".json")
    write_text(path, write_common(index, counts, settings.max_matches or 0))
    shutil.rmtree(folder)
    return path


def count_file(*, settings: dict[str, Any], file: dict[str, Any], path: str) -> int:
    """Count the passages in one file of the input; how many were found."""
    own = convert(DecontaminateDocuments, Sourced(settings, {}))
    one = InputFile(**{**file, "path": Path(file["path"])})
    reading = Reading(text_field=own.text_field, id_field=own.id_field)
    index = build(own)
    counts = np.zeros(len(index.keys), np.int64)
    for documents, _ in read_batches(one, unified([one], reading), reading):
        counts += count_matches(index, [text or "" for text in documents["text"].to_pylist()])
    with atomic_file(Path(path)) as handle:
        np.save(handle, counts, allow_pickle=False)
    return int(counts.sum())
