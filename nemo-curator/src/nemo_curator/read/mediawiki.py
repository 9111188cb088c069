"""Articles of a MediaWiki dump (Wikipedia and its sisters), their markup removed.

Format: https://www.mediawiki.org/wiki/Help:Export. Multistream dumps are bzip2 streams one behind the other, which
read as one.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO
from xml.parsers import expat

import mwparserfromhell

from ..document import Document, Reject
from .files import InputFile
from .records import Reading, Record, record_id, text_fault
from .unpack import DAMAGES, damage, open_unpacked

ARTICLES = "0"  # namespace
CHUNK = 1 << 20
REVISED = ("text", "timestamp", "format", "model")
DROPPED_TAGS = frozenset({"ref", "table", "gallery", "math", "timeline", "imagemap", "syntaxhighlight", "score"})
MEDIA_LINK = re.compile(
    r"^[^\[\]|:]{2,24}:[^\[\]|]*\.(?:jpe?g|png|svg|gif|webp|ogg|ogv|webm|pdf|djvu|tiff?)", re.IGNORECASE
)
NAMESPACE_LINK = re.compile(r"^(?:[a-z]{2,3}(?:-[a-z]+)*|[^\W\d_]{4,20}):\S")
NAMESPACES = {"file": "6", "image": "6", "media": "-2", "category": "14"}  # those that every wiki knows
NOT_SHOWN = frozenset(NAMESPACES.values())
REDIRECT = re.compile(r"\s*#[^\W\d_]+\s*:?\s*\[\[[^\]\n]+\]\]")
MAGIC_WORD = re.compile(r"__(?!(?:FILE|LINE|DATE|TIME|FUNCTION|CLASS|VA_ARGS)__)[^\W\d_a-z]+(?:_[^\W\d_a-z]+)*__")
MANY_NEWLINES = re.compile(r"\n{3,}")
MANY_BLANKS = re.compile(r" {2,}")
EMPTY_BRACKETS = re.compile(r" ?\((?:\s*[,;:]?\s*)*\)")
LEFT_IN_BRACKETS = re.compile(r"(?<=\()(?:\s*[,;]\s*)+|(?:\s*[,;]\s*)+(?=\))")


def read(file: InputFile, reading: Reading) -> Iterator[Record]:
    """Every article; ordinals count all pages of the dump. Redirects and pages about other things are left out."""
    number = -1
    namespaces = dict(NAMESPACES)
    try:
        with open_unpacked(file) as handle:
            for number, page in enumerate(pages(handle, reading.max_document_bytes + 1, namespaces)):
                record = article(page, namespaces, file=file, number=number, reading=reading)
                if record is not None:
                    yield record
    except expat.ExpatError as error:
        yield broken(file, number + 1, "corrupt_xml", error)
    except DAMAGES as error:
        yield broken(file, number + 1, damage(file, error), error)


def broken(file: InputFile, number: int, reason: str, error: Exception) -> Reject:
    """The reject for a dump that cannot be read on from this page."""
    place = f"{file.name}:{number + 1}"
    return Reject(id=record_id(file, number), source=place, reason=reason, detail=f"{place}: {error}")


class PageBuilder:
    """Takes the events of an XML parser, and gathers the fields of every page in `done`.

    Of a field that comes twice the first counts, as a page's own id does; of those of a revision the latest. Fields
    are cut behind `max_characters`, so that no page can fill the memory. The names that the dump's head gives to the
    wiki's namespaces are added to `namespaces`.
    """

    def __init__(self, max_characters: int, namespaces: dict[str, str]) -> None:
        self.done: list[dict[str, str]] = []
        self._namespaces, self._key = namespaces, ""
        self._fields: dict[str, str] | None = None
        self._pieces: list[str] = []
        self._room = self._most = max_characters

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """A tag opens."""
        name = local(tag)
        self._key = attributes.get("key", "") if name == "namespace" else ""
        if name == "page":
            self._fields = {}
        elif name == "redirect" and self._fields is not None:
            self._fields["redirect"] = "yes"
        self._pieces, self._room = [], self._most

    def data(self, piece: str) -> None:
        """Characters between tags."""
        if (self._fields is not None or self._key) and self._room > 0:
            self._pieces.append(piece[: self._room])
            self._room -= len(piece)

    def end(self, tag: str) -> None:
        """A tag closes."""
        name = local(tag)
        if self._fields is None:
            if self._key and self._pieces:
                self._namespaces["".join(self._pieces).lower()] = self._key
            self._key = ""
            return
        if name == "page":
            self.done.append(self._fields)
            self._fields = None
        elif name not in self._fields or name in REVISED:
            self._fields[name] = "".join(self._pieces)
        self._pieces = []


def pages(handle: BinaryIO, max_characters: int, namespaces: dict[str, str]) -> Iterator[dict[str, str]]:
    """Fields of every page, the pages of a chunk at a time in memory; names of namespaces go to `namespaces`."""
    builder = PageBuilder(max_characters, namespaces)
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = builder.start, builder.end
    parser.CharacterDataHandler = builder.data
    while chunk := handle.read(CHUNK):
        parser.Parse(chunk)
        yield from builder.done
        builder.done.clear()
    parser.Parse(b"", True)


def local(tag: str) -> str:
    """A tag without its prefix."""
    return tag.rpartition(":")[2]


def article(
    page: dict[str, str], namespaces: dict[str, str], *, file: InputFile, number: int, reading: Reading
) -> Record | None:
    """The document that an article gives; None for a redirect or a page that is no article."""
    if page.get("ns", ARTICLES) != ARTICLES or "redirect" in page or page.get("model", "wikitext") != "wikitext":
        return None
    place = f"{file.name}:{number + 1}"
    title = page.get("title", "")
    known: dict[str, Any] = {"id": record_id(file, number), "source": place, "source_id": page.get("id", "")}
    wikitext = page.get("text", "")
    if REDIRECT.match(wikitext):  # old dumps have no tag for it
        return None
    if len(wikitext) > reading.max_document_bytes:
        return Reject(
            **known, reason="document_too_long", detail=f"{place}: {len(wikitext)} characters or more of {title!r}"
        )
    text = plain(wikitext, namespaces)
    fault = text_fault(text, reading)
    if fault:
        return Reject(**known, reason=fault, detail=f"{place}: {title!r}", text=wikitext[:1000])
    return Document(**known, text=text, title=title, url=address(title, file.name))


def address(title: str, name: str) -> str:
    """Where the article is read, told from the name of the dump ("enwiki-20240201-…"); "" where that says nothing."""
    from urllib.parse import quote

    wiki = re.match(r"(?:.*/)?([a-z_]+?)(wiki|wiktionary|wikibooks|wikiquote|wikinews|wikivoyage)-\d{8}", name)
    if wiki is None:
        return ""
    project = "wikipedia" if wiki[2] == "wiki" else wiki[2]
    return f"https://{wiki[1].replace('_', '-')}.{project}.org/wiki/{quote(title.replace(' ', '_'))}"


def plain(wikitext: str, namespaces: Mapping[str, str] = NAMESPACES) -> str:
    """The text of an article without markup, templates, tables, references, files and categories.

    `namespaces` are the keys of the wiki's namespaces by their names in lower case.
    """
    code = parsed(wikitext)
    for tag in code.filter_tags(recursive=True, matches=lambda node: tag_name(node) in DROPPED_TAGS):
        remove(code, tag)
    for tag in code.filter_tags(recursive=True, matches=lambda node: tag_name(node) == "br"):
        if code.contains(tag):
            code.replace(tag, "\n")
    for link in code.filter_wikilinks(recursive=True):
        if not is_shown(str(link.title).strip(), labelled=link.text is not None, namespaces=namespaces):
            remove(code, link)
    sections = [section_text(section) for section in code.get_sections(flat=True, include_lead=True)]
    return MANY_NEWLINES.sub("\n\n", "\n\n".join(filter(None, sections))).strip()


def is_shown(target: str, *, labelled: bool, namespaces: Mapping[str, str]) -> bool:
    """Whether a link to `target` is part of the text: none to a file, a category or another wiki's page is.

    With a colon in front even those are, by their labels.
    """
    if target.startswith(":"):
        return labelled
    prefix = target.partition(":")[0].strip().replace("_", " ").lower()
    hidden = namespaces.get(prefix) in NOT_SHOWN and ":" in target
    return not (hidden or MEDIA_LINK.match(target) or (NAMESPACE_LINK.match(target) and not labelled))


def tag_name(tag: Any) -> str:
    """What a tag is called."""
    return str(tag.tag).strip().lower()


def section_text(section: Any) -> str:
    """Heading and text of a section; "" where there is nothing under the heading."""
    headings = section.filter_headings(recursive=False)
    for heading in headings:
        section.remove(heading)
    text = section.strip_code(normalize=True, collapse=True, keep_template_params=False)
    text = "\n".join(tidy(line) for line in MAGIC_WORD.sub("", text).splitlines()).strip()
    titles = [heading.title.strip_code().strip() for heading in headings]
    return "\n".join([*titles, text]) if text else ""


def tidy(line: str) -> str:
    """A line without what templates left behind: empty brackets, marks at either end of brackets, blanks in a row."""
    return MANY_BLANKS.sub(" ", LEFT_IN_BRACKETS.sub("", EMPTY_BRACKETS.sub("", line))).strip()


def parsed(wikitext: str) -> Any:
    """The syntax tree (mwparserfromhell)."""
    return mwparserfromhell.parse(wikitext)


def remove(code: Any, node: Any) -> None:
    """Take a node out, unless it went with one that held it."""
    if code.contains(node):
        code.remove(node)
