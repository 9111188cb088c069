"""arXiv: the tar files of paper sources, with the sizes and checksums of their manifest.

Layout: https://info.arxiv.org/help/bulk_data_s3.html. The bucket makes the requester pay, so it is read with the AWS
tools into a folder or a mirror; `base_url` is the address of that mirror.
"""

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta

from ...foundation.errors import ConfigError, InputError
from ..download.remote import Remote
from . import Get

MANIFEST = "src/arXiv_src_manifest.xml"


@dataclass(frozen=True, kw_only=True)
class Arxiv:
    """Which months of arXiv, and where they are."""

    base_url: Annotated[str, Meta(description="http(s) address that holds src/arXiv_src_manifest.xml")] = ""
    start: Annotated[str, Meta(pattern="^([0-9]{4})?$", description="first month as yymm, such as 2401")] = ""
    end: Annotated[str, Meta(pattern="^([0-9]{4})?$", description="last month as yymm")] = ""


def list_files(settings: Any, get: Get) -> list[Remote]:
    """The tar files of the months. Raises ConfigError without an address, InputError for a broken manifest."""
    wanted: Arxiv = settings.arxiv
    if not wanted.base_url:
        raise ConfigError(
            "arxiv.base_url: give the http(s) address of a mirror of arXiv's src/ (its bucket is not free)"
        )
    url = f"{wanted.base_url.rstrip('/')}/{MANIFEST}"
    try:
        entries = [{child.tag: child.text or "" for child in file} for file in manifest(get(url)).iter("file")]
        remotes = [remote_of(wanted, entry) for entry in entries if within(wanted, entry["yymm"])]
    except (ET.ParseError, KeyError, ValueError) as error:
        raise InputError(f"{url}: not a manifest of arXiv sources ({error!r})") from None
    return sorted(remotes, key=lambda remote: remote.name)


def manifest(content: bytes) -> ET.Element:
    """The manifest's root; the entities of hostile XML are bounded by expat since 2.4.1."""
    return ET.fromstring(content)  # noqa: S314


def within(wanted: Arxiv, yymm: str) -> bool:
    """Whether a month is wanted; the nineties come before the two-thousands."""
    return century(wanted.start or "9101") <= century(yymm) <= century(wanted.end or "9012")


def century(yymm: str) -> int:
    """Yymm as yyyymm."""
    return int(yymm) + (190_000 if int(yymm) >= 9_100 else 200_000)


def remote_of(wanted: Arxiv, entry: dict[str, str]) -> Remote:
    """The tar file that a manifest entry describes."""
    name = entry["filename"].rpartition("/")[2]
    url = f"{wanted.base_url.rstrip('/')}/{entry['filename'].lstrip('/')}"
    digest = f"md5:{entry['md5sum']}" if entry.get("md5sum") else None
    return Remote(url=url, name=name, num_bytes=int(entry["size"]), digest=digest)
