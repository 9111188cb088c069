"""Papers of arXiv's source archives: LaTeX without preamble, comments, macros of the author's own and references.

An archive is a tar of one file a paper: a gzipped tar of sources, one gzipped TeX file, or a PDF (left out). What is
kept of the LaTeX follows the arXiv part of RedPajama (Together Computer 2023): from the first section on, macros
without arguments written out, the bibliography cut off.
"""

import gzip
import io
import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath
from posixpath import normpath

from ..document import Document, Reject
from .files import InputFile
from .records import Reading, Record, record_id, text_fault

SOURCE_ROOM = 20  # a paper's sources may be this many times as large as a document, figures included
PIECE_BYTES = 1 << 20
COMMENT_LINE = re.compile(r"^[ \t]*%.*\n?", re.MULTILINE)
COMMENT = re.compile(r"(?<!\\)((?:\\\\)*)%.*$", re.MULTILINE)  # behind a line break (two backslashes) it is one
COMMENT_BLOCK = re.compile(r"\\begin\{comment\}.*?\\end\{comment\}", re.DOTALL)
BEGINNING = re.compile(r"\\(?:part|chapter|(?:sub){0,2}section|(?:sub)?paragraph)\*?\s*[\[{]")
BODY = re.compile(r"\\begin\{document\}")
ENDING = re.compile(
    r"\\(?:appendix\b|begin\{(?:references|REFERENCES)\}|REFERENCES\b|begin\{thebibliography\}|bibliography\{|printbibliography\b|end\{document\})"
)
TITLE = re.compile(r"\\title\s*(?:\[[^\]]*\])?\s*\{")
INPUT = re.compile(
    r"\\(?:input|include|subfile)\s*\{(?P<braced>[^{}]+)\}|\\input\s+(?P<bare>[\w./-]+)"
    r"|\\(?:sub)?import\*?\s*\{(?P<folder>[^{}]*)\}\s*\{(?P<file>[^{}]+)\}"
)
NO_TEX = (b"%!", b"%PDF", b"<")  # PostScript, PDF, HTML: what papers without TeX are
TEX_SUFFIXES = (".tex", ".ltx", ".latex")
MACRO = re.compile(
    r"\\(?:(?:re)?newcommand\*?|providecommand\*?)\s*\{?\s*(\\[A-Za-z@]+)\s*\}?\s*\{|\\def\s*(\\[A-Za-z@]+)\s*\{"
)
PAPER = re.compile(r"(?:.*/)?((?:\d{4}\.\d{4,5})|(?:[A-Za-z-]+\d{7}))\.(?:(?:tar\.)?gz|tar|tgz|pdf|tex)\Z")


def read(file: InputFile, reading: Reading) -> Iterator[Record]:
    """Every paper of the archive; ordinals count its members."""
    number = -1
    try:
        with file.open() as handle, tarfile.open(fileobj=handle, mode="r|") as archive:
            for number, member in enumerate(archive):
                content = archive.extractfile(member) if member.isfile() else None
                if content is None or member.name.endswith(".pdf"):
                    continue
                if member.size > reading.max_document_bytes * SOURCE_ROOM:
                    yield reject(file, number, "document_too_long", f"{member.name}: {member.size} bytes")
                    continue
                yield paper(member.name, content.read(), file=file, number=number, reading=reading)
    except (tarfile.TarError, EOFError) as error:
        yield reject(file, number + 1, "corrupt_tar", str(error))


def reject(file: InputFile, number: int, reason: str, detail: str, *, source_id: str = "") -> Reject:
    """Why a paper gives no document."""
    place = f"{file.name}:{number + 1}"
    return Reject(
        id=record_id(file, number), source=place, reason=reason, detail=f"{place}: {detail}", source_id=source_id
    )


def paper(name: str, packed: bytes, *, file: InputFile, number: int, reading: Reading) -> Record:
    """The document in a member of the archive."""
    own_id = identifier(name)
    limit = reading.max_document_bytes * SOURCE_ROOM
    try:
        sources = tex_files(packed, limit=limit)
    except ValueError:
        return reject(file, number, "document_too_long", f"{name}: more than {limit} bytes unpacked", source_id=own_id)
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        return reject(file, number, "corrupt_gzip", f"{name}: {error}", source_id=own_id)
    if not sources:
        return reject(file, number, "no_tex_source", name, source_id=own_id)
    whole = joined(sources)
    text = body(whole)
    fault = text_fault(text, reading)
    if fault:
        return reject(file, number, fault, f"{name}: {len(text)} characters", source_id=own_id)
    return Document(
        id=record_id(file, number),
        source=f"{file.name}:{number + 1}",
        source_id=own_id,
        url=f"https://arxiv.org/abs/{own_id}" if own_id else "",
        title=title_of(whole),
        text=text,
    )


def identifier(name: str) -> str:
    """ArXiv's id of a member: "2401/2401.00001.gz" is 2401.00001, "hep-th/hep-th9901001.gz" is hep-th/9901001."""
    matched = PAPER.fullmatch(name)
    if matched is None:
        return ""
    return re.sub(r"^([A-Za-z-]+)(\d{7})$", r"\1/\2", matched[1])


def tex_files(packed: bytes, *, limit: int) -> dict[str, str]:
    """TeX files of a paper by name. Raises ValueError where it unpacks to more than `limit` bytes."""
    content = packed
    if packed.startswith(b"\x1f\x8b"):
        content = unpacked(packed, limit=limit)
    if not is_tar(content):
        tex = b"\\" in content[:100_000] and not content.lstrip().startswith(NO_TEX)
        return {"main.tex": decode(content)} if tex else {}
    found = {}
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
        for member in archive:
            if member.isfile() and member.name.lower().endswith(TEX_SUFFIXES):
                source = archive.extractfile(member)
                found[member.name.removeprefix("./")] = decode(source.read()) if source else ""
    return found


def is_tar(content: bytes) -> bool:
    """Whether a tar archive begins here; old ones are told by the checksum of their first header alone."""
    try:
        tarfile.TarInfo.frombuf(content[: tarfile.BLOCKSIZE], "utf-8", "replace")
    except tarfile.HeaderError:
        return False
    return True


def unpacked(packed: bytes, *, limit: int) -> bytes:
    """The content of a gzip file. Raises ValueError as soon as it exceeds `limit` bytes."""
    pieces, size = [], 0
    with gzip.GzipFile(fileobj=io.BytesIO(packed)) as handle:
        while piece := handle.read(PIECE_BYTES):
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                raise ValueError("unpacks to too much")
    return b"".join(pieces)


def decode(content: bytes) -> str:
    """TeX as characters: UTF-8 where it is that, else Latin-1, which older papers use."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")


def joined(sources: dict[str, str]) -> str:
    """The main file with the others where it includes them; the longest file where none begins a document."""
    clean = {name: without_comments(text) for name, text in sources.items()}
    mains = sorted(name for name, text in clean.items() if BODY.search(text))
    main = max(mains or sorted(clean), key=lambda name: len(clean[name]))
    base = PurePosixPath(main).parent

    def included(matched: re.Match[str]) -> str:
        named = matched["braced"] or matched["bare"] or f"{matched['folder']}/{matched['file']}"
        name = normpath(base / named.strip())
        return within_document(clean.get(name, clean.get(f"{name}.tex", "")))

    return INPUT.sub(included, INPUT.sub(included, clean[main]))


def within_document(text: str) -> str:
    """What a file that could stand alone has between its preamble and its end; any other, as it is."""
    found = BODY.search(text)
    return text[found.end() :].partition("\\end{document}")[0] if found else text


def without_comments(text: str) -> str:
    """TeX without comments; an escaped percent sign is none."""
    return COMMENT.sub(r"\1", COMMENT_LINE.sub("", COMMENT_BLOCK.sub("", text)))


def body(text: str) -> str:
    """From the first section (or the beginning of the document) to the references, own macros written out."""
    macros = own_macros(text)
    begin = BEGINNING.search(text)
    document = BODY.search(text)
    start = begin.start() if begin else document.end() if document else 0
    end = ENDING.search(text, start)
    kept = text[start : end.start() if end else None]
    for name, meaning in macros.items():
        kept = re.sub(re.escape(name) + r"(?![A-Za-z@])", lambda _, meaning=meaning: meaning, kept)  # type: ignore[misc]
    return re.sub(r"\n{3,}", "\n\n", kept).strip()


def own_macros(text: str) -> dict[str, str]:
    """Macros without arguments that the paper defines."""
    found = {}
    for matched in MACRO.finditer(text):
        name = matched[1] or matched[2]
        meaning = braced(text, matched.end() - 1)
        if meaning is not None and "#" not in meaning and name not in meaning:
            found[name] = meaning
    return found


def braced(text: str, at: int) -> str | None:
    """What is between the brace at `at` and the one that closes it; None where none does."""
    depth = 0
    for place in range(at, min(len(text), at + 5000)):
        if text[place] in "{}" and text[place - 1 : place] != "\\":
            depth += 1 if text[place] == "{" else -1
            if depth == 0:
                return text[at + 1 : place]
    return None


def title_of(text: str) -> str:
    """The title of a paper; "" where it has none."""
    matched = TITLE.search(text)
    title = braced(text, matched.end() - 1) if matched else None
    return " ".join((title or "").replace("\\\\", " ").split())
