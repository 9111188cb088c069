"""Fuzz the readers of nemo-curator, and the extraction of text from what they read, guided by coverage (atheris).

    pip install atheris -c constraints.txt -e './nemo-curator[html,wikipedia]'
    python tools/fuzz_curator.py warc 300        # a format, and for how many seconds

Formats: warc, warc.gz, html, jsonl, xml (MediaWiki), tar (arXiv), parquet. Whatever the bytes, a reader gives documents
and rejects with numbered ids and printable text, and raises nothing. An input that breaks this is written to
``crash-…`` in the current folder, and its traceback is shown; ``python tools/fuzz_curator.py warc 1 crash-…`` shows it
again.
"""

import gzip
import io
import sys
import tarfile
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["nemo_curator"]):
    from nemo_curator.document import Document, Reject, rejects_table, to_table
    from nemo_curator.extract.html import Extract
    from nemo_curator.read.files import InputFile, format_of
    from nemo_curator.read.records import Reading, read_file

READING = Reading(max_document_bytes=100_000)


def record(body: bytes, head: bytes = b"") -> bytes:
    """A WARC record of a page."""
    message = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n" + head + b"\r\n" + body
    return b"WARC/1.0\r\nWARC-Type: response\r\nContent-Length: %d\r\n\r\n%s\r\n\r\n" % (len(message), message)


def archive() -> bytes:
    """An arXiv archive of one paper."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as opened:
        packed = gzip.compress(
            rb"\documentclass{a}\begin{document}\section{x} Said. \newcommand{\a}{b}\a\end{document}"
        )
        member = tarfile.TarInfo("2401.00001.gz")
        member.size = len(packed)
        opened.addfile(member, io.BytesIO(packed))
    return buffer.getvalue()


def table() -> bytes:
    """A Parquet file of two rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.table({"text": ["one", "two"], "id": [1, 2]}), buffer)
    return buffer.getvalue()


PAGE = b"<html><head><title>T</title></head><body><main><h1>A</h1><p>Some &amp; more.</p></main></body></html>"
CONVERSION = b"WARC/1.0\r\nWARC-Type: conversion\r\nContent-Length: 5\r\n\r\nwords\r\n\r\n"
SEEDS = {
    "warc": [
        record(PAGE) + CONVERSION,
        record(gzip.compress(PAGE), b"Content-Encoding: gzip\r\n"),
        record(b"4\r\n<p>a\r\n0\r\n\r\n", b"Transfer-Encoding: chunked\r\n"),
    ],
    "warc.gz": [gzip.compress(record(PAGE)) + gzip.compress(CONVERSION)],
    "html": [PAGE],
    "jsonl": [b'{"text": "a", "id": 1, "url": "u", "metadata": {"a": [1]}}\n{"text": "\\ud800"}\n'],
    "xml": [
        b"<mediawiki><page><title>T</title><ns>0</ns><id>1</id><revision><text>'''A''' [[b|c]] {{d|e}} <ref>f</ref>"
        b"{| g |} == H ==</text></revision></page></mediawiki>"
    ],
    "tar": [archive()],
    "parquet": [table()],
}


def check(folder: Path, suffix: str, content: bytes) -> None:
    """Read the bytes as a file of this format; raise where what comes out is not as promised."""
    path = folder / f"a.{suffix}"
    path.write_bytes(content)
    file = InputFile.local(path, name=path.name, format=str(format_of(path.name)))
    records = list(read_file(file, READING))
    ids = [each.id for each in records]
    assert len(set(ids)) == len(ids), ids
    documents = [each for each in records if isinstance(each, Document)]
    rejects_table([each for each in records if isinstance(each, Reject)])
    read = to_table(documents)
    if any(each.html is not None for each in documents):
        verdict = STEP(read)
        assert verdict.documents.num_rows == len(documents)
        verdict.documents.validate(full=True)
    else:
        read.validate(full=True)


STEP = Extract().open()


def main() -> None:
    """Fuzz until the time is over, or show one input again."""
    suffix, seconds, *again = sys.argv[1:]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if again:
            check(folder, suffix, Path(again[0]).read_bytes())
            return
        corpus = folder / "corpus"
        corpus.mkdir()
        for number, seed in enumerate(SEEDS[suffix]):
            (corpus / str(number)).write_bytes(seed)
        limits = [f"-max_total_time={seconds}", "-max_len=4096", "-timeout=20", "-rss_limit_mb=2048", "-verbosity=1"]
        atheris.Setup([sys.argv[0], str(corpus), *limits], lambda content: check(folder, suffix, content))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
