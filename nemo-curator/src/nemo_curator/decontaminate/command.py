"""``nemo-curator decontaminate``: count passages of evaluation sets in all documents, then cut the rare ones out."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ..curation import Curated
from ..foundation.artifact import digest_of, external_digest
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
    common = common_path(settings)
    if not common.is_file():
        write_text(common, find_common(settings, common.with_suffix("")))
    step = passage.command_step(dataclasses.replace(settings, common=common), "decontaminate")
    done = passage.run(settings, [step], files={"common.json": common.read_text(encoding="utf-8")})
    common.unlink()
    return done


def common_path(settings: DecontaminateDocuments) -> Path:
    """Where the common passages are kept until the second pass is done: beside the output, for this work alone."""
    files = [(f.name, f.num_bytes, f.path.stat().st_mtime_ns) for f in list_input(settings.input).files]
    tasks = {name: external_digest(path) for name, path in settings.tasks.items()}
    stamp = digest_of([lasting(settings), files, tasks])[:16]
    return settings.output.with_name(f".{settings.output.name}.matches-{stamp}.json")


def lasting(settings: DecontaminateDocuments) -> dict[str, Any]:
    """The settings that change what is found."""
    return {name: value for name, value in to_plain(settings).items() if name not in ("workers", "overwrite")}


def find_common(settings: DecontaminateDocuments, folder: Path) -> str:
    """Count every passage in every file, each in its own file of `folder`; the common ones, as common.json has them."""
    index = build(settings)
    calls: list[dict[str, Any]] = [
        {
            "settings": lasting(settings),
            "file": msgspec.to_builtins(file, enc_hook=str),
            "path": str(folder / f"{number:06d}.npy"),
        }
        for number, file in enumerate(list_input(settings.input).files)
    ]
    todo = [call for call in calls if not Path(call["path"]).is_file()]
    with pool.Pool(pool.num_workers(settings.workers)) as workers, Progress("count", total=len(calls)) as progress:
        progress.advance(len(calls) - len(todo))
        for _ in workers.run(TARGET, todo):
            progress.advance()
    counts = np.zeros(len(index.keys), np.int64)
    for call in calls:
        counts += np.load(call["path"], allow_pickle=False)
    shutil.rmtree(folder)
    return write_common(index, counts, settings.max_matches or 0)


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
