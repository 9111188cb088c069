"""What is to be downloaded: an address, the name it gets, and what is known of its content."""

import re
from dataclasses import dataclass

from ...foundation.errors import InputError

DIGEST = re.compile(r"(md5|sha1|sha256):[0-9a-f]+")


@dataclass(frozen=True, kw_only=True)
class Remote:
    """One file of a source; `name` is relative to the folder it goes into, `digest` is like "sha1:da39a3…"."""

    url: str
    name: str
    num_bytes: int | None = None
    digest: str | None = None

    def __post_init__(self) -> None:
        parts = self.name.split("/")
        if not self.name or "\\" in self.name or any(part in ("", ".", "..") for part in parts):
            raise InputError(f"{self.url}: {self.name!r} is no name for a file inside the output")
        if self.digest is not None and not DIGEST.fullmatch(self.digest):
            raise InputError(f"{self.url}: digest {self.digest!r} is not of the form md5:…, sha1:… or sha256:…")


class GoneError(Exception):
    """The server says that there is no such file, or the file is not what its listing promises."""
