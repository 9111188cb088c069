"""Common Crawl: the WARC or WET files of snapshots, named in each snapshot's list of paths.

Layout: https://commoncrawl.org/get-started (``crawl-data/<snapshot>/<kind>.paths.gz``; news under
``crawl-data/CC-NEWS/<year>/<month>/``); the snapshots there are: https://index.commoncrawl.org/collinfo.json.
"""

import gzip
import json
import re
import zlib
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Meta

from ...foundation.errors import ConfigError, InputError
from ..download.remote import Remote
from . import Get

NEWS_SINCE = (2016, 8)
MAIN = re.compile(r"(?:CC-MAIN-)?(\d{4})-(\d{2})")


@dataclass(frozen=True, kw_only=True)
class CommonCrawl:
    """Which part of Common Crawl."""

    start: Annotated[str, Meta(description="first snapshot: year-week such as 2024-10, for news year-month")] = ""
    end: Annotated[str, Meta(description="last snapshot; the first one where it is left out")] = ""
    kind: Annotated[Literal["warc", "wet"], Meta(description="warc: pages as HTML; wet: text as extracted there")] = (
        "warc"
    )
    news: Annotated[bool, Meta(description="the news crawl in place of the main one; WARC only")] = False
    base_url: Annotated[str, Meta(description="server of the files")] = "https://data.commoncrawl.org"
    index_url: Annotated[str, Meta(description="list of the snapshots of the main crawl")] = (
        "https://index.commoncrawl.org/collinfo.json"
    )

    def __post_init__(self) -> None:
        if self.news and self.kind == "wet":
            raise ConfigError("common_crawl.kind=wet: the news crawl has WARC files only; use kind=warc")


def list_files(settings: Any, get: Get) -> list[Remote]:
    """The files of all snapshots from start to end. Raises ConfigError or InputError where there is none."""
    wanted: CommonCrawl = settings.common_crawl
    first, last = parse(wanted.start, "start"), parse(wanted.end or wanted.start, "end")
    if first > last:
        raise ConfigError(f"common_crawl.start={wanted.start} is after common_crawl.end={wanted.end}")
    folders = news_folders(first, last) if wanted.news else main_folders(wanted, get, first, last)
    return [remote for folder in folders for remote in files_of(folder, wanted, get)]


def parse(text: str, key: str) -> tuple[int, int]:
    """Year and week (or month) of a snapshot."""
    matched = MAIN.fullmatch(text)
    if matched is None:
        raise ConfigError(f"common_crawl.{key}={text!r}: write year-week, such as 2024-10 (for news year-month)")
    return int(matched[1]), int(matched[2])


def main_folders(wanted: CommonCrawl, get: Get, first: tuple[int, int], last: tuple[int, int]) -> list[str]:
    """Folders of the snapshots in the range; one alone needs no list of snapshots."""
    for _, week in (first, last):
        if not 1 <= week <= 53:
            raise ConfigError(f"common_crawl: the main crawl is by week, and {week} is none; write e.g. 2024-10")
    if first == last:
        return [f"CC-MAIN-{first[0]}-{first[1]:02}"]
    try:
        names = [str(entry["id"]) for entry in json.loads(get(wanted.index_url))]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{wanted.index_url}: not a list of snapshots ({error})") from None
    known = {parse(name, "start"): name for name in names if MAIN.fullmatch(name)}
    chosen = [known[key] for key in sorted(known) if first <= key <= last]
    if not chosen:
        near = ", ".join(known[key] for key in sorted(known, reverse=True)[:3])
        raise InputError(f"common_crawl: no snapshot from {wanted.start} to {wanted.end}; the latest are {near}")
    return chosen


def news_folders(first: tuple[int, int], last: tuple[int, int]) -> list[str]:
    """Folders of the months in the range."""
    for _, month in (first, last):
        if not 1 <= month <= 12:
            raise ConfigError(f"common_crawl: the news crawl is by month, and {month} is none; write e.g. 2024-03")
    if first < NEWS_SINCE:
        raise ConfigError(f"common_crawl.start: the news crawl begins in {NEWS_SINCE[0]}-{NEWS_SINCE[1]:02}")
    months = range(first[0] * 12 + first[1] - 1, last[0] * 12 + last[1])
    return [f"CC-NEWS/{month // 12}/{month % 12 + 1:02}" for month in months]


def files_of(folder: str, wanted: CommonCrawl, get: Get) -> list[Remote]:
    """The files that a snapshot's list of paths names."""
    listing = f"{wanted.base_url.rstrip('/')}/crawl-data/{folder}/{wanted.kind}.paths.gz"
    try:
        lines = gzip.decompress(get(listing)).decode("ascii").split()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InputError(f"{listing}: not a gzipped list of paths ({error})") from None
    label = folder.replace("/", "-")
    return [
        Remote(url=f"{wanted.base_url.rstrip('/')}/{line}", name=f"{label}/{line.rpartition('/')[2]}") for line in lines
    ]
