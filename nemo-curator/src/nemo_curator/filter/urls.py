"""The urls step: documents from addresses that are on lists of your own (after datatrove's URLFilter)."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from msgspec import Meta

from ..foundation.errors import ConfigError
from .scores.resources import read_words

SEPARATORS = re.compile(r"[^a-z0-9]+")
LIST = "file of them, one a line; # begins a comment"


@dataclass(frozen=True, kw_only=True)
class Urls:
    """The urls step: drop documents by where they come from."""

    blocked_domains: Annotated[Path | None, Meta(description=f"hosts, with all their subdomains: {LIST}")] = None
    blocked_urls: Annotated[Path | None, Meta(description=f"addresses: {LIST}")] = None
    banned_words: Annotated[Path | None, Meta(description=f"words, one of which is enough: {LIST}")] = None
    soft_banned_words: Annotated[Path | None, Meta(description=f"words, several of which are enough: {LIST}")] = None
    soft_words: Annotated[int, Meta(ge=1, description="how many soft words are enough (datatrove: 2)")] = 2
    banned_substrings: Annotated[Path | None, Meta(description=f"letters anywhere in an address: {LIST}")] = None

    def open(self) -> Callable[[Any], Any]:
        """The step as a function from a batch to its verdict. Raises ConfigError where no list was given."""
        import pyarrow as pa

        from ..document import Verdict

        lists = self.lists()

        def step(documents: Any) -> Any:
            found = [fault(url or "", lists, self.soft_words) for url in documents["url"].to_pylist()]
            return Verdict(
                documents=documents,
                reason=pa.array([reason for reason, _ in found], pa.string()),
                detail=pa.array([detail for _, detail in found], pa.string()),
            )

        return step

    def lists(self) -> dict[str, frozenset[str]]:
        """The words of every list that was given."""
        names = ("blocked_domains", "blocked_urls", "banned_words", "soft_banned_words", "banned_substrings")
        given = {name: path for name in names if (path := getattr(self, name)) is not None}
        if not given:
            raise ConfigError(f"urls: give at least one list: {', '.join(names)}")
        return {name: read_words(given[name]) if name in given else frozenset() for name in names}


def fault(url: str, lists: dict[str, frozenset[str]], soft_words: int) -> tuple[str | None, str]:
    """Why a document with this address is dropped, and the entry behind it; None where it stays."""
    lowered = url.lower()
    host = urlsplit(lowered).hostname or "" if "//" in lowered else ""
    parts = host.split(".")
    domain = next((d for i in range(len(parts)) if (d := ".".join(parts[i:])) in lists["blocked_domains"]), None)
    if domain:
        return "blocked_domain", domain
    if lowered in lists["blocked_urls"]:
        return "blocked_url", lowered
    words = set(SEPARATORS.split(lowered))
    if banned := sorted(words & lists["banned_words"]):
        return "banned_word_in_url", banned[0]
    if len(soft := sorted(words & lists["soft_banned_words"])) >= soft_words:
        return "several_soft_banned_words_in_url", ", ".join(soft)
    packed = SEPARATORS.sub("", lowered)
    substring = next((s for s in sorted(lists["banned_substrings"]) if s in packed), None)
    return ("banned_substring_in_url", substring) if substring else (None, "")
