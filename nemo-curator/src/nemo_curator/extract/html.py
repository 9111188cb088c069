"""The extract step: the main content of a page as text, with its title and what the page says of itself."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Meta

from ..foundation.backend import Backend, load_backend

DEEPEST = 3000  # the search for the main content takes time with the square of the depth
TAG = re.compile(rb"<(/?)([a-zA-Z][^\s/>]{0,20})")
NOT_NESTED = frozenset(
    b"area base br col embed hr img input link meta param source track wbr "
    b"p li dt dd option tr td th thead tbody tfoot colgroup body html head".split()
)
NOT_ASCII = re.compile(r"[^\x00-\x7f]")
HARDLY_DAMAGED, MOSTLY_UTF8 = 0.2, 0.5  # shares of what is no UTF-8: believed whatever is declared; where declared
BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


ENGINES = {
    "resiliparse": Backend(module="nemo_curator.extract.resiliparse"),
    "trafilatura": Backend(module="nemo_curator.extract.trafilatura", extra="html"),
    "justext": Backend(module="nemo_curator.extract.justext", extra="html"),
}


@dataclass(frozen=True, kw_only=True)
class JusText:
    """The limits of jusText, with NeMo Curator's values (its own are 0.30 and 0.32 for stop words, too)."""

    length_low: Annotated[int, Meta(ge=0, description="characters below which a paragraph is short")] = 70
    length_high: Annotated[int, Meta(ge=0, description="characters above which it can be good at once")] = 200
    stopwords_low: Annotated[float, Meta(ge=0, le=1, description="share of stop words below which it is bad")] = 0.30
    stopwords_high: Annotated[float, Meta(ge=0, le=1, description="share from which it can be good")] = 0.32
    max_link_density: Annotated[float, Meta(ge=0, le=1, description="most of a paragraph that is links")] = 0.2
    max_heading_distance: Annotated[int, Meta(ge=0, description="characters from a heading to its good text")] = 200
    no_headings: Annotated[bool, Meta(description="treat headings as paragraphs")] = False


@dataclass(frozen=True, kw_only=True)
class Extract:
    """The extract step: HTML to text; records that came as text pass unchanged."""

    engine: Annotated[
        Literal["resiliparse", "trafilatura", "justext"],
        Meta(description="resiliparse is some 15 times faster than the others, which the extra html brings"),
    ] = "resiliparse"
    language: Annotated[
        str,
        Meta(pattern="^[a-z]{2,3}$", description="ISO 639 code of the pages' language, for stop words (justext)"),
    ] = "en"
    justext: Annotated[JusText, Meta(description="limits of jusText")] = JusText()
    min_stop_word_share: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="drop lines with a smaller share of stop words (extra [html]; NeMo Curator: 0.32 behind "
            "resiliparse and trafilatura)",
        ),
    ] = 0.0
    metadata: Annotated[
        bool, Meta(description="keep description, author, date, canonical address … in the column metadata")
    ] = False
    keep_links: Annotated[bool, Meta(description="keep link targets and texts in the column metadata")] = False
    main_content: Annotated[bool, Meta(description="leave out navigation, headers, footers and the like")] = True
    links: Annotated[bool, Meta(description="write link targets after their text")] = False
    alt_texts: Annotated[bool, Meta(description="write the descriptions of images")] = False

    def open(self) -> Callable[[Any], Any]:
        """The step as a function from a batch to its verdict."""
        import pyarrow as pa

        from ..document import SCHEMA, Verdict, set_column

        engine = open_engine(self)

        def step(documents: Any) -> Any:
            pages = documents.select(COLUMNS).to_pylist()
            found = [page_or_text(engine, settings=self, **page) for page in pages]
            for index, column in enumerate(("text", "title", "metadata")):
                documents = set_column(documents, column, pa.array([f[index] for f in found], pa.string()))
            return Verdict(
                documents=documents.select(SCHEMA.names), reason=pa.array([f[3] for f in found], pa.string())
            )

        return step


COLUMNS = ("html", "charset", "text", "title", "metadata")
Found = tuple[str, str, str, str | None]
Engine = Callable[[str], tuple[str, str]]


def page_or_text(
    engine: Engine, *, html: bytes | None, charset: str, text: str, title: str, metadata: str, settings: Extract
) -> Found:
    """Text, title, metadata and, where nothing was left, why it is dropped."""
    if html is None:
        return text, title, metadata, None
    if html.count(b"<") > DEEPEST and depth(html) > DEEPEST:
        return "", title, metadata, "nested_too_deeply"
    page = decode(html, charset)
    found_text, found_title = readable(engine, page)
    if settings.metadata or settings.keep_links:
        from .metadata import facts

        metadata = clean(facts(page, about=settings.metadata, links=settings.keep_links))
    return found_text, found_title or title, metadata, None if found_text else "no_main_content"


def open_engine(settings: Extract) -> Engine:
    """A function from a page to its text and title. Raises MissingBackend where its library is not installed."""
    from .paragraphs import keeper

    found: Engine = load_backend("extraction engine", settings.engine, ENGINES, package="nemo-curator").open(settings)
    keep = keeper(settings.language, settings.min_stop_word_share)

    def engine(page: str) -> tuple[str, str]:
        text, title = found(page)
        return keep(text), title

    return engine


def extract(html: bytes, charset: str, settings: Extract) -> tuple[str, str]:
    """Readable text and title of one page; `charset` is what its server declared, or ""."""
    return readable(open_engine(settings), decode(html, charset))


def readable(engine: Engine, page: str) -> tuple[str, str]:
    """What the engine finds, fit to be written."""
    text, title = engine(page)
    return clean(text), " ".join(clean(title).split())


def depth(html: bytes) -> int:
    """How deeply elements are nested, near enough; those whose end is often left out do not count."""
    deepest = level = 0
    for closing, name in TAG.findall(html):
        if name.lower() in NOT_NESTED:
            continue
        level = max(0, level - 1) if closing else level + 1
        deepest = max(deepest, level)
    return deepest


def decode(html: bytes, charset: str) -> str:
    """The page as characters: as UTF-8 where it is that, else as declared, else as detected."""
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding, map_encoding_to_html5

    if html.startswith(BOMS[1:]):
        encoding = "utf-16-le" if html.startswith(BOMS[1]) else "utf-16-be"
    elif charset.lower().startswith("utf-16") and b"\0" in html[:1024]:
        encoding = "utf-16-be" if html[:1] == b"\0" else "utf-16-le"
    else:
        try:
            return html.removeprefix(BOMS[0]).decode("utf-8")
        except UnicodeDecodeError:
            text, share = damaged_utf8(html)
            if share < HARDLY_DAMAGED:
                return text
            declared = map_encoding_to_html5(charset, False) if charset else None
            encoding = declared or detect_encoding(html, from_html_meta=True) or "cp1252"
            if encoding == "utf-8":
                return text if share < MOSTLY_UTF8 else html.decode("cp1252", "replace")
    return str(bytes_to_str(html, encoding, errors="replace"))


def damaged_utf8(html: bytes) -> tuple[str, float]:
    """A page as UTF-8 with what is none replaced, and the share of that in all but ASCII: near 1 in other encodings."""
    text = html.removeprefix(BOMS[0]).decode("utf-8", "replace")
    faults, others = text.count("\ufffd"), len(NOT_ASCII.findall(text))
    return text, faults / others


def clean(text: str) -> str:
    """Text that can be written as UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8").strip("\n").rstrip()
