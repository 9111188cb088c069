"""Dumps, archives, plain text, PDF and remote files are read like JSONL and pages: what is whole, and faults named."""

import bz2
import gzip
import io
import json
import lzma
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_curator import curate
from nemo_curator.document import Document, Reject
from nemo_curator.foundation import artifact
from nemo_curator.foundation.errors import InputError
from nemo_curator.read import latex
from nemo_curator.read.files import SUFFIXES, InputFile, address_of, list_input
from nemo_curator.read.mediawiki import plain
from nemo_curator.read.records import Reading, read_file
from nemo_curator.testing.corpora import prose, read_folder, write_jsonl


def read_all(path, **reading):
    return [record for file in list_input(path).files for record in read_file(file, Reading(**reading))]


def texts(records):
    return [r.text for r in records if isinstance(r, Document)]


def reasons(records):
    return [r.reason for r in records if isinstance(r, Reject)]


PACKERS = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


@pytest.mark.parametrize("suffix", list(PACKERS))
def test_plain_text_packed_any_way(tmp_path, suffix):
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(PACKERS[suffix]("\ufeffEin Satz.\nNoch einer: ä.".encode()))
    (record,) = read_all(path)
    assert (record.text, record.id) == ("Ein Satz.\nNoch einer: ä.", f"a.txt{suffix}#00000000")


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst"])
def test_a_packed_file_that_breaks_off_gives_what_came_before(tmp_path, suffix):
    rows = b"".join(json.dumps({"text": prose(n)}).encode() + b"\n" for n in range(3000))
    packed = pa.compress(rows, codec="zstd", asbytes=True) if suffix == ".zst" else PACKERS[suffix](rows)
    path = tmp_path / f"a.jsonl{suffix}"
    path.write_bytes(packed[: len(packed) * 3 // 4])
    records = read_all(path)
    assert texts(records) == [prose(n) for n in range(len(records) - 1)]
    assert reasons(records) == [f"truncated_{ {'.gz': 'gzip', '.bz2': 'bzip2', '.xz': 'xz', '.zst': 'zstd'}[suffix] }"]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.txt", b"caf\xe9", "invalid_utf8"),
        ("a.txt", b"  \n", "empty_text"),
        ("a.txt", b"", "empty_file"),
        ("a.txt", b"x\0y", "nul_character"),
        ("a.txt", b"x" * 2000, "document_too_long"),
        ("a.txt", "ä".encode() * 600, "document_too_long"),
        ("a.txt.gz", b"no gzip", "corrupt_gzip"),
        ("a.txt.bz2", b"no bzip2", "corrupt_bzip2"),
        ("a.txt.xz", b"no xz at all", "corrupt_xz"),
        ("a.xml.bz2", bz2.compress(b"<mediawiki><page>")[:-9], "truncated_bzip2"),
        ("a.xml", b"<mediawiki><page></mediawiki>", "corrupt_xml"),
        ("a.tar", b"no tar" * 200, "corrupt_tar"),
        ("a.pdf", b"no pdf", "corrupt_pdf"),
    ],
)
def test_what_cannot_be_read_is_a_reject(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    records = read_all(tmp_path, max_document_bytes=1000)
    assert reasons(records) == [reason]
    assert name in records[0].detail


def conversion(number, body, kind="conversion"):
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: http://site/{number}\r\n"
        f"WARC-Record-ID: <urn:uuid:{number}>\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return gzip.compress(head.encode() + body + b"\r\n\r\n", mtime=0)


def test_wet_files_hold_text_and_need_no_extraction(tmp_path):
    bodies = [prose(1).encode(), b"caf\xe9", prose(2).encode(), b"\n"]
    packed = conversion(9, b"software: x", kind="warcinfo") + b"".join(conversion(n, b) for n, b in enumerate(bodies))
    path = tmp_path / "in" / "CC.warc.wet.gz"
    path.parent.mkdir()
    path.write_bytes(packed)
    records = read_all(path)
    assert texts(records) == [prose(1), prose(2)]
    assert [r.url for r in records] == [f"http://site/{n}" for n in range(4)]
    assert reasons(records) == ["invalid_utf8", "empty_text"]
    assert curate(path.parent, tmp_path / "out", pipeline=["repair"], workers=1).documents_out == 2


DUMP = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/" version="0.10" xml:lang="en">
<siteinfo><sitename>Wikipedia</sitename></siteinfo>
<page><title>Old stone bridge</title><ns>0</ns><id>12</id><revision><id>99</id>
<model>wikitext</model><text xml:space="preserve">{{Infobox bridge|name=Old|length={{convert|5|km}}}}
[[File:Bridge.jpg|thumb|A [[bridge]] at night]]
The
'''old bridge''' ({{lang|de|Brücke}}) is a [[stone|stone]] [[bridge]]s of &amp;c.&lt;ref&gt;{{cite book}}&lt;/ref&gt;
It was built in 1720.
{| class="wikitable"
| a || b
|}
== History ==
It ''stood'' in the [http://example.org north] of the [[w:Town|town]].
* First item
== References ==
{{reflist}}
[[Category:Bridges]]
[[de:Brücke]]</text></revision></page>
<page><title>Moved</title><ns>0</ns><id>13</id><redirect title="Old stone bridge" />
<revision><text>#REDIRECT [[x]]</text></revision></page>
<page><title>Talk:Old</title><ns>1</ns><id>14</id><revision><text>talk</text></revision></page>
<page><title>Empty</title><ns>0</ns><id>15</id><revision><text /></revision></page>
</mediawiki>"""


def test_articles_of_a_wiki_without_their_markup(tmp_path):
    cut = DUMP.index("<page><title>Moved")
    path = tmp_path / "enwiki-20240101-pages-articles-multistream.xml.bz2"
    path.write_bytes(bz2.compress(DUMP[:cut].encode()) + bz2.compress(DUMP[cut:].encode()))
    article, empty = read_all(path)
    assert (article.title, article.source_id, article.id) == ("Old stone bridge", "12", f"{path.name}#00000000")
    assert article.url == "https://en.wikipedia.org/wiki/Old_stone_bridge"
    lines = [line for line in article.text.split("\n") if line]
    assert lines == [
        "The",
        "old bridge is a stone bridges of &c.",
        "It was built in 1720.",
        "History",
        "It stood in the north of the town.",
        "First item",
    ]
    assert (empty.reason, empty.source_id) == ("empty_text", "15")


@pytest.mark.parametrize(
    ("wikitext", "wanted"),
    [
        ("Stone.\n[[Category:Bridges|Old, The]]", "Stone."),
        ("__NOTOC__\nStone. __KEIN_INHALTSVERZEICHNIS__", "Stone."),
        ("The macro __FILE__ and a __init__ stay.", "The macro __FILE__ and a __init__ stay."),
        ("see [[:File:a.png|this picture]] of [[:Category:Bridges]]", "see this picture of"),
        ("one<br>two<br />three", "one\ntwo\nthree"),
        ("Bern ({{IPA|b}}; {{lang|fr|Berne}}, a town, {{small|x}}) is", "Bern (a town) is"),
        ("a {{x}} b", "a b"),
        ("[[Image:plan.xcf|thumb|of a [[bridge]]]] b", "b"),
        ("text [[zh-min-nan:Kio]]", "text"),
        ("[[Mission: Possible]] of [[Help:Contents|help]]", "Mission: Possible of help"),
    ],
)
def test_what_readers_of_an_article_see(wikitext, wanted):
    assert plain(wikitext) == wanted


def test_namespaces_are_called_as_the_dump_says_and_old_redirects_have_no_tag(tmp_path):
    pages = ["#WEITERLEITUNG [[Ziel]]", "Eine Br\u00fccke. [[Datei:plan.xcf|mini|Plan]] [[Kategorie:Bauwerk|Alte]]"]
    (tmp_path / "dewiki-20240101-pages-articles.xml").write_text(
        "<mediawiki><siteinfo><namespaces><namespace key='-2'>Medium</namespace><namespace key='0' />"
        "<namespace key='6'>Datei</namespace><namespace key='14'>Kategorie</namespace></namespaces></siteinfo>"
        + "".join(
            f"<page><title>T</title><ns>0</ns><id>1</id><revision><text>{p}</text></revision></page>" for p in pages
        )
        + "</mediawiki>"
    )
    assert texts(read_all(tmp_path)) == ["Eine Br\u00fccke."]


@settings(max_examples=50, deadline=None)
@given(st.text(alphabet="[]{}|'<>/=ref tableFile:Bild#*&;\n", max_size=80))
def test_any_markup_gives_some_text(wikitext):
    assert isinstance(plain(wikitext), str)


PAPER = r"""\documentclass{article} % a comment
\newcommand{\R}{\mathbb{R}} \def\eps{\varepsilon} \newcommand{\two}[1]{#1#1}
\title{On \emph{small} numbers}
\begin{document}
\maketitle abstract here
\section{Intro}
We take 5\% of $\R$ and $\eps\in\Reals$. % not this
\input{parts/second}
\begin{thebibliography}{9} Nobody \end{thebibliography}
\end{document}
"""


def archive(path, members):
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def sources(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(buffer.getvalue())


def test_papers_of_arxiv(tmp_path):
    paper = sources({"main.tex": PAPER.encode(), "parts/second.tex": b"Second part. % gone", "fig.png": b"\x89PNG"})
    members = {
        "2401/2401.00001.gz": paper,
        "2401/2401.00002.pdf": b"%PDF",
        "2401/hep-th9901003.gz": gzip.compress(b"\\section{Only} caf\xe9 text"),
        "2401/2401.00004.gz": paper[: len(paper) // 2],
        "2401/2401.00005.gz": gzip.compress(b"no tex"),
    }
    first, old, *others = read_all(archive(tmp_path / "arXiv_src_2401_001.tar", members))
    assert first.text == "\\section{Intro}\nWe take 5\\% of $\\mathbb{R}$ and $\\varepsilon\\in\\Reals$. \nSecond part."
    assert (first.title, first.source_id) == ("On \\emph{small} numbers", "2401.00001")
    assert first.url == "https://arxiv.org/abs/2401.00001"
    assert (old.text, old.source_id) == ("\\section{Only} café text", "hep-th/9901003")
    assert reasons(others) == ["corrupt_gzip", "no_tex_source"]


COMMENTED = r"""\documentclass{x}
\begin{document}
\part{First}
% a line of its own
One \\% behind a line break
50\% of it
\subsubsection{Deep} two
\input chapters/bare
\import{chapters/}{taken}
\subfile{chapters/alone}
\begin{REFERENCES} [1] gone
"""


def old_tar(files):
    """An archive as they were before 1988: without a magic number."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            header = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
            header[257:512] = bytes(255)
            header[148:156] = b" " * 8
            header[148:156] = b"%06o\0 " % sum(header)
            tar.fileobj.write(bytes(header) + content + bytes(-len(content) % 512))
    return buffer.getvalue()


def test_sources_are_joined_whatever_their_archive_and_commands(tmp_path):
    files = {
        "paper.ltx": COMMENTED.encode(),
        "chapters/bare.tex": b"Bare.",
        "chapters/taken.tex": b"Taken.",
        "chapters/alone.tex": b"\\documentclass{x} no \\begin{document}Alone.\\end{document} no",
    }
    members = {"2401.00001.tar": old_tar(files), "math9901003.tar.gz": sources(files)}
    for record, own_id in zip(
        read_all(archive(tmp_path / "a.tar", members)), ["2401.00001", "math/9901003"], strict=True
    ):
        assert record.source_id == own_id
        assert record.text.split("\n") == [
            *("\\part{First}", "One \\\\", "50\\% of it", "\\subsubsection{Deep} two"),
            *("Bare.", "Taken.", "Alone."),
        ]


@pytest.mark.parametrize("content", [b"%!PS-Adobe-2.0\n(\\(text\\)) show", b"%PDF-1.4 \\", b"<html>\\section</html>"])
def test_a_paper_without_tex_is_named_so(tmp_path, content):
    (record,) = read_all(archive(tmp_path / "a.tar", {"2401.00001.gz": gzip.compress(content)}))
    assert record.reason == "no_tex_source"


def test_a_paper_that_unpacks_to_too_much_is_rejected(tmp_path):
    bomb = gzip.compress(b"\\section{x}" + b" " * 5_000_000)
    records = read_all(archive(tmp_path / "a.tar", {"2401.00001.gz": bomb}), max_document_bytes=1000)
    assert reasons(records) == ["document_too_long"]


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="\\\\{}%[]#abdefginotunwsc @\n", max_size=120))
def test_any_tex_gives_some_text(tex):
    assert isinstance(latex.body(latex.without_comments(tex)) + latex.title_of(tex), str)


def test_text_of_a_pdf(tmp_path):
    from reportlab.pdfgen import canvas

    page = canvas.Canvas(str(tmp_path / "a.pdf"))
    page.setTitle("Bridges of the north")
    for line in ("The bridge was built of stone.", "It stands still."):
        page.drawString(72, 720, line)
        page.showPage()
    page.save()
    (record,) = read_all(tmp_path / "a.pdf")
    assert record.text == "The bridge was built of stone.\n\nIt stands still."
    assert record.title == "Bridges of the north"


def test_other_fields_are_kept_as_metadata(tmp_path):
    row = {"text": prose(1), "id": 7, "topic": "ships", "year": 1850, "tags": ["a", "ü"]}
    write_jsonl(tmp_path / "in/a.jsonl", [row, {"text": prose(2)}])
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "in/b.parquet")
    curate(tmp_path / "in", tmp_path / "once", pipeline=["repair"], workers=1)
    curate(tmp_path / "once", tmp_path / "twice", pipeline=["repair"], workers=1)
    for folder in ("once", "twice"):
        found = [r["metadata"] for r in read_folder(tmp_path / folder / "data")]
        kept = {"topic": "ships", "year": 1850, "tags": ["a", "ü"]}
        assert [json.loads(m) if m else None for m in found] == [kept, None, kept]
    curate(tmp_path / "in", tmp_path / "bare", pipeline=["repair"], workers=1, keep_fields=False)
    assert {r["metadata"] for r in read_folder(tmp_path / "bare/data")} == {""}


def test_a_file_system_behind_an_address_gives_what_a_folder_gives(tmp_path):
    import fsspec

    memory = fsspec.filesystem("memory")
    write_jsonl(tmp_path / "in/deep/a.jsonl.gz", [{"text": prose(n)} for n in range(9)])
    pq.write_table(pa.table({"text": [prose(20)]}), tmp_path / "in/b.parquet")
    (tmp_path / "in/c.txt").write_text(prose(30))
    for path in (p for p in (tmp_path / "in").rglob("*") if p.is_file()):
        memory.pipe(f"/crawl/{path.relative_to(tmp_path / 'in')}", path.read_bytes())
    try:
        curate(tmp_path / "in", tmp_path / "local", pipeline=["repair", "exact_dedup"], workers=1)
        curate("memory://crawl", tmp_path / "remote", pipeline=["repair", "exact_dedup"], workers=1)
        local, remote = (artifact.read(tmp_path / name, "documents") for name in ("local", "remote"))
        assert local.digest == remote.digest
        with pytest.raises(InputError, match="input=memory://nothing: the folder is empty"):
            list_input_of("memory://nothing")
    finally:
        memory.rm("/crawl", recursive=True)


def list_input_of(address):
    from pathlib import Path

    return list_input(Path(address))


def test_addresses_survive_being_paths():
    from pathlib import Path

    assert address_of(Path("s3://bucket/a")) == "s3://bucket/a"
    assert address_of(Path("/data/a:/b")) == ""
    assert address_of(Path("C:/data")) == ""
    with pytest.raises(InputError, match="input=nosuch://x/y: "):
        list_input_of("nosuch://x/y")


READABLE = sorted(
    {".jsonl", ".jsonl.gz", ".txt.xz", ".warc.gz", ".wet.gz", ".xml", ".xml.bz2", ".tar", ".pdf", ".html"}
)


@settings(max_examples=150, deadline=None)
@given(content=st.binary(max_size=400), suffix=st.sampled_from(READABLE))
def test_any_bytes_are_read_or_rejected(tmp_path_factory, content, suffix):
    path = tmp_path_factory.getbasetemp() / f"fuzz{suffix}"
    path.write_bytes(content)
    file = InputFile(path=path, name=path.name, format=SUFFIXES[suffix], num_bytes=len(content))
    for record in read_file(file, Reading(max_document_bytes=300)):
        assert isinstance(record, Document | Reject)
