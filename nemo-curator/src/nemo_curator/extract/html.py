"""The extract step: the main content of a page as text, with its title."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta

DEEPEST = 3000  # the search for the main content takes time with the square of the depth
TAG = re.compile(rb"<(/?)([a-zA-Z][^\s/>]{0,20})")
NOT_NESTED = frozenset(
    b"area base br col embed hr img input link meta param source track wbr "
    b"p li dt dd option tr td th thead tbody tfoot colgroup body html head".split()
)
BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, kw_only=True)
class Extract:
    """The extract step: HTML to text; records that came as text pass unchanged."""

    main_content: Annotated[bool, Meta(description="leave out navigation, headers, footers and the like")] = True
    links: Annotated[bool, Meta(description="write link targets after their text")] = False
    alt_texts: Annotated[bool, Meta(description="write the descriptions of images")] = False

    def open(self) -> Callable[[Any], Any]:
        """The step as a function from a batch to its verdict."""
        import pyarrow as pa

        from ..document import SCHEMA, Verdict, set_column

        def step(documents: Any) -> Any:
            pages = zip(*(documents[name].to_pylist() for name in ("html", "charset", "text", "title")), strict=True)
            found = [page_or_text(html, charset, text, title, self) for html, charset, text, title in pages]
            documents = set_column(documents, "text", pa.array([f[0] for f in found], pa.string()))
            documents = set_column(documents, "title", pa.array([f[1] for f in found], pa.string()))
            return Verdict(
                documents=documents.select(SCHEMA.names), reason=pa.array([f[2] for f in found], pa.string())
            )

        return step


Found = tuple[str, str, str | None]


def page_or_text(html: bytes | None, charset: str, text: str, title: str, settings: Extract) -> Found:
    """Text, title and, where nothing was left, why it is dropped."""
    if html is None:
        return text, title, None
    if html.count(b"<") > DEEPEST and depth(html) > DEEPEST:
        return "", title, "nested_too_deeply"
    found_text, found_title = extract(html, charset, settings)
    return found_text, found_title or title, None if found_text else "no_main_content"


def depth(html: bytes) -> int:
    """How deeply elements are nested, near enough; those whose end is often left out do not count."""
    deepest = level = 0
    for closing, name in TAG.findall(html):
        if name.lower() in NOT_NESTED:
            continue
        level = max(0, level - 1) if closing else level + 1
        deepest = max(deepest, level)
    return deepest


def extract(html: bytes, charset: str, settings: Extract) -> tuple[str, str]:
    """Readable text and title of a page (resiliparse)."""
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLTree

    tree = HTMLTree.parse(decode(html, charset))
    text = extract_plain_text(
        tree, main_content=settings.main_content, links=settings.links, alt_texts=settings.alt_texts
    )
    return clean(text), " ".join(clean(tree.title or "").split())


def decode(html: bytes, charset: str) -> str:
    """The page as characters: as UTF-8 where it is that, else as declared, else as detected."""
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding, map_encoding_to_html5

    if not html.startswith(BOMS[1:]):
        try:
            return html.removeprefix(BOMS[0]).decode("utf-8")
        except UnicodeDecodeError:
            declared = map_encoding_to_html5(charset, False) if charset else None
            encoding = declared or detect_encoding(html, from_html_meta=True) or "cp1252"
    else:
        encoding = "utf-16-le" if html.startswith(BOMS[1]) else "utf-16-be"
    return str(bytes_to_str(html, "cp1252" if encoding == "utf-8" else encoding, errors="replace"))


def clean(text: str) -> str:
    """Text that can be written as UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8").strip("\n").rstrip()
