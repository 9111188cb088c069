"""Where raw text comes from: each source lists its files; the download and the readers do the rest.

A source of one's own is up to three small functions. ``list_files(settings, get) -> list[Remote]`` says what there is;
``get(url)`` returns the bytes of a small file, such as a listing. ``fetch(remote, folder)`` beside it replaces the
download over HTTP; it writes ``folder / remote.name``, whole or not at all. ``read(file, reading)`` cuts a file into
documents, where its format is a new one. The first two are a module or object that is an entry point of the group
``nemo_curator.sources``, the third an entry point of ``nemo_curator.formats`` named by the files' suffix.
"""

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Protocol, cast

from ...foundation.errors import ConfigError
from ...foundation.settings import did_you_mean
from ..download.remote import Remote

BUILT_IN = {
    "common-crawl": "nemo_curator.acquire.sources.common_crawl",
    "wikipedia": "nemo_curator.acquire.sources.wikipedia",
    "arxiv": "nemo_curator.acquire.sources.arxiv",
    "urls": "nemo_curator.acquire.sources.urls",
}
GROUP = "nemo_curator.sources"
Get = Callable[[str], bytes]


class Source(Protocol):
    """Lists the files of a source."""

    def list_files(self, settings: Any, get: Get) -> list[Remote]:
        """What there is to download, in a fixed order. `settings` are those of ``nemo-curator acquire``."""


def find_source(name: str) -> Source:
    """The source called `name`. Raises ConfigError with the nearest name otherwise."""
    if name in BUILT_IN:
        found: Source = cast(Source, import_module(BUILT_IN[name]))
        return found
    offered = {point.name: point for point in entry_points(group=GROUP)}
    if name in offered:
        loaded: Source = offered[name].load()
        return loaded
    known = ["python-docs", *BUILT_IN, *offered]
    raise ConfigError(f"source={name}: unknown{did_you_mean(name, known)} (sources: {', '.join(known)})")
