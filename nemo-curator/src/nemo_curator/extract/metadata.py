"""What a page says of itself: its meta elements, language, canonical address, and its links."""

import json
from typing import Any

from resiliparse.parse.html import HTMLTree

WANTED = {
    "description": ("description", "og:description", "dc.description"),
    "author": ("author", "article:author", "dc.creator", "citation_author"),
    "published": ("article:published_time", "date", "dc.date", "citation_publication_date", "datepublished"),
    "modified": ("article:modified_time", "last-modified", "datemodified"),
    "site": ("og:site_name", "application-name"),
    "kind": ("og:type",),
    "keywords": ("keywords", "news_keywords"),
    "license": ("dc.rights", "license"),
}
MAX_LINKS = 1000
MAX_CHARACTERS = 2000


def facts(page: str, *, about: bool, links: bool) -> str:
    """What was asked for as a JSON object; "" where the page says nothing of it."""
    tree = HTMLTree.parse(page)
    found: dict[str, Any] = described(tree) if about else {}
    targets = links_of(tree) if links else []
    if targets:
        found["links"] = targets
    return json.dumps(found, ensure_ascii=False) if found else ""


def described(tree: Any) -> dict[str, str]:
    """The values of the meta elements that are wanted, and of those that say language and address."""
    values: dict[str, str] = {}
    for element in tree.document.query_selector_all("meta[content]"):
        name = (element.getattr("name") or element.getattr("property") or element.getattr("itemprop") or "").lower()
        if name and name not in values:
            values[name] = " ".join((element.getattr("content") or "").split())[:MAX_CHARACTERS]
    found = {key: next((values[n] for n in names if values.get(n)), "") for key, names in WANTED.items()}
    canonical = tree.document.query_selector("link[rel=canonical][href]")
    root = tree.document.query_selector("html[lang]")
    found["canonical"] = (canonical.getattr("href") or "").strip() if canonical else ""
    found["declared_language"] = (root.getattr("lang") or "").strip() if root else ""
    return {name: value for name, value in found.items() if value}


def links_of(tree: Any) -> list[dict[str, str]]:
    """Target and text of the first links that lead somewhere."""
    found = []
    for element in tree.document.query_selector_all("a[href]"):
        target = (element.getattr("href") or "").strip()
        if target and not target.startswith(("#", "javascript:")):
            found.append({"url": target[:MAX_CHARACTERS], "text": " ".join((element.text or "").split())[:200]})
        if len(found) == MAX_LINKS:
            break
    return found
