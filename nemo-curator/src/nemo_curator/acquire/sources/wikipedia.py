"""Wikipedia: the multistream article dumps of a wiki, with the checksums that the dump's status file gives.

Layout: https://meta.wikimedia.org/wiki/Data_dumps (``<wiki>/<date>/dumpstatus.json``).
"""

import json
import re
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta

from ...foundation.errors import InputError
from ..download.remote import GoneError, Remote
from . import Get

JOB = "articlesmultistreamdump"
ARTICLES = re.compile(r".*-pages-articles-multistream\d*\.xml.*\.bz2")
DATE = re.compile(r'href="(\d{8})/"')


@dataclass(frozen=True, kw_only=True)
class Wikipedia:
    """Which wiki and which dump."""

    language: Annotated[str, Meta(pattern="^[a-z][a-z_-]*$", description="language of the wiki, such as en")] = "en"
    project: Annotated[str, Meta(pattern="^[a-z]+$", description="wiki, wiktionary, wikibooks …")] = "wiki"
    date: Annotated[str, Meta(pattern="^([0-9]{8}|latest)$", description="day of the dump, or latest")] = "latest"
    base_url: Annotated[str, Meta(description="server of the dumps")] = "https://dumps.wikimedia.org"

    @property
    def folder(self) -> str:
        """Address of the wiki's dumps."""
        return f"{self.base_url.rstrip('/')}/{self.language.replace('-', '_')}{self.project}"


def list_files(settings: Any, get: Get) -> list[Remote]:
    """The article files of the dump. Raises InputError where that dump is not there or not finished."""
    wanted: Wikipedia = settings.wikipedia
    if wanted.date != "latest":
        return files_of(wanted, wanted.date, status(wanted, wanted.date, get))
    for date in sorted(dates(wanted, get), reverse=True):
        try:
            found = status(wanted, date, get)
        except (GoneError, InputError):
            continue  # a dump that is just being made has no status yet; the one before it has
        if found.get("status") == "done":
            return files_of(wanted, date, found)
    raise InputError(f"{wanted.folder}/: names no finished dump; give wikipedia.date")


def dates(wanted: Wikipedia, get: Get) -> list[str]:
    """Days of the dumps that the wiki's folder lists."""
    return DATE.findall(get(f"{wanted.folder}/").decode("utf-8", "replace"))


def status(wanted: Wikipedia, date: str, get: Get) -> dict[str, Any]:
    """What the dump says of its article files."""
    url = f"{wanted.folder}/{date}/dumpstatus.json"
    try:
        job: dict[str, Any] = json.loads(get(url))["jobs"][JOB]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{url}: says nothing of {JOB} ({error!r})") from None
    return job


def files_of(wanted: Wikipedia, date: str, job: dict[str, Any]) -> list[Remote]:
    """The article files of a finished dump; the index files beside them are of no use here."""
    if job.get("status") != "done":
        raise InputError(f"{wanted.folder}/{date}: its articles are {job.get('status')!r}, not 'done'; take another")
    files = sorted((name, facts) for name, facts in job.get("files", {}).items() if ARTICLES.fullmatch(name))
    return [
        Remote(
            url=f"{wanted.base_url.rstrip('/')}{facts['url']}",
            name=name,
            num_bytes=facts.get("size"),
            digest=f"sha1:{facts['sha1']}" if facts.get("sha1") else None,
        )
        for name, facts in files
    ]
