"""``nemo-curator separate``: an artifact for each value of a column."""

import shutil
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc

from .. import request as requests
from ..foundation import artifact
from ..foundation.errors import ConfigError
from ..foundation.progress import track
from ..foundation.settings import to_plain
from ..tables.columns import required
from ..tables.source import Source, open_source
from .settings import Separate
from .writer import Parts, writing

WITHOUT_VALUE = "_none"
UNREAD = "_unread"


@dataclass(frozen=True, kw_only=True)
class Separated:
    """What was written: documents by value; and records that could not be read (artifact `_unread`), by reason."""

    output: Path
    documents_in: int
    values: dict[str, int]
    unread: dict[str, int]


def separate(settings: Separate) -> Separated:
    """Write every document into the artifact of its value. Raises ConfigError for too many values."""
    source = open_source(settings.input, text_field=settings.text_field, id_field=settings.id_field)
    required(source.schema, settings.by, option="by")
    earlier = requests.load(settings.output)
    if earlier is not None and choices(earlier.values) == choices(to_plain(settings)):
        clear_finished(settings)
    requests.save(settings.output, settings, inputs={"input": settings.input})
    open_parts: dict[str, Parts] = {}
    unreadable: list[Parts] = []
    seen, unread = 0, Counter[str]()
    with ExitStack() as stack:
        for documents, rejects in track(source.batches(), "separate", unit="batches"):
            seen += documents.num_rows
            if rejects.num_rows:
                unread.update(rejects["reason"].to_pylist())
                keep_unread(rejects, unreadable, source, settings, stack)
            names = documents[settings.by].cast("string")
            for value in pc.unique(pc.fill_null(names, "")).to_pylist():
                if settings.only is not None and value not in settings.only:
                    continue
                parts = parts_of(value, open_parts, source, settings, stack)
                rows = documents.filter(pc.equal(pc.fill_null(names, ""), value))
                parts.read(rows, rejects.slice(0, 0))
                parts.write(rows, step="separate")
    requests.forget(settings.output)
    return Separated(
        output=settings.output,
        documents_in=seen,
        values={name: parts.tally.steps[-1].documents for name, parts in sorted(open_parts.items())},
        unread=dict(unread),
    )


def clear_finished(settings: Separate) -> None:
    """Remove artifacts that an interrupted run of the same settings had finished; they are made anew."""
    digest = artifact.describe_inputs({"input": settings.input})["input"]["digest"]
    for path in sorted(settings.output.glob(f"*/{artifact.MANIFEST}")):
        manifest = artifact.load_manifest(path.parent)
        alike = choices(manifest.config) == choices(to_plain(settings))
        if alike and manifest.inputs.get("input", {}).get("digest") == digest:
            shutil.rmtree(path.parent)


def choices(plain: dict[str, Any]) -> dict[str, Any]:
    """The settings that say what is made, not where."""
    return artifact.without(plain, ("output", "overwrite", "input", "pipeline"))


def parts_of(value: str, open_parts: dict[str, Parts], source: Source, settings: Separate, stack: ExitStack) -> Parts:
    """The files of a value, begun when it first turns up."""
    if value not in open_parts:
        if len(open_parts) >= settings.max_values:
            raise ConfigError(
                f"by={settings.by}: has more than {settings.max_values} values ({value!r} is one more); separate by a "
                "column with fewer, name those you want with only=[...], or raise max_values"
            )
        open_parts[value] = begun(folder_name(value), source, settings, stack)
    return open_parts[value]


def begun(name: str, source: Source, settings: Separate, stack: ExitStack) -> Parts:
    """The files of an artifact in the folder `name`."""
    inputs, output = {"input": settings.input}, settings.output / name
    return stack.enter_context(writing(settings, source.schema, step="separate", inputs=inputs, output=output))


def keep_unread(
    rejects: pa.Table, unreadable: list[Parts], source: Source, settings: Separate, stack: ExitStack
) -> None:
    """Write records that have no value, because they could not be read, into an artifact of their own."""
    if not unreadable:
        unreadable.append(begun(UNREAD, source, settings, stack))
    unreadable[0].read(source.schema.empty_table(), rejects)


def folder_name(value: str) -> str:
    """The value as a folder's name: nothing in it leads elsewhere, and no value has the name of another folder."""
    name = quote(value, safe=" ()+,-=@_~")
    for first in "._":
        name = name.replace(first, f"%{ord(first):X}") if name.startswith(first) else name
    return name or WITHOUT_VALUE
