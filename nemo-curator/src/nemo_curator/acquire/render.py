"""One shard of pages, rendered in a worker process that imports the modules it is told to."""

import importlib
import io
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from ..foundation.atomic import atomic_file, write_text
from . import warc
from .pages import Page, module_pages, topic_page

TOPICS = "topics"


def render_shard(*, output: str, note: str, modules: Sequence[str], crashed: Sequence[str]) -> dict[str, Any]:
    """Write the pages of `modules` to the WARC file `output`; how many, and which modules failed and why.

    Before each import its module is named in the file `note`, so that the caller knows which one to blame where this
    process dies; modules in `crashed` are left out.
    """
    failed = dict.fromkeys(crashed, "ended the process that imported it")
    with atomic_file(Path(output)) as handle:
        count = warc.write(handle, pages_of([m for m in modules if m not in failed], Path(note), failed))
    return {"pages": count, "failed": failed}


def pages_of(modules: Sequence[str], note: Path, failed: dict[str, str]) -> Iterator[Page]:
    """Pages of all modules; those that cannot be imported go into `failed`."""
    for name in modules:
        write_text(note, name)
        if name == TOPICS:
            yield from topic_pages()
            continue
        try:
            yield from list(module_pages(load(name)))
        except Exception as error:  # noqa: BLE001 - foreign code may raise anything; it is named in the artifact
            failed[name] = f"{type(error).__name__}: {error}".split("\n")[0]


def load(name: str) -> Any:
    """Import a module with its voice taken away."""
    silence = io.StringIO()
    arguments, sys.argv = sys.argv, ["python"]
    try:
        with warnings.catch_warnings(), redirect_stdout(silence), redirect_stderr(silence):
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except SystemExit as error:
        raise ImportError(f"asked to exit with {error.code}") from None
    finally:
        sys.argv = arguments


def topic_pages() -> Iterator[Page]:
    """Chapters of the language reference that Python carries for its own help."""
    from pydoc_data.topics import topics

    for name in sorted(topics):
        yield topic_page(name, topics[name])
