"""Whatever is wrong with an input, the rest of it is read, and the fault is named with its place."""

import gzip
import json
import os
import re
import zlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_curator.document import Document, Reject
from nemo_curator.foundation.errors import InputError
from nemo_curator.read.files import list_input
from nemo_curator.read.records import Reading, read_file
from nemo_curator.testing.corpora import prose, write_jsonl


def read_all(path, **reading):
    return [record for file in list_input(path).files for record in read_file(file, Reading(**reading))]


def texts(records):
    return [r.text for r in records if isinstance(r, Document)]


def faults(records):
    return [(r.reason, r.source) for r in records if isinstance(r, Reject)]


def member(number, body, *, length=None, kind="response", mime="text/html", status="200 OK"):
    """One gzip member with one WARC record."""
    message = f"HTTP/1.1 {status}\r\nContent-Type: {mime}\r\n\r\n".encode() + body
    head = (
        f"WARC/1.1\r\nWARC-Type: {kind}\r\nWARC-Record-ID: <urn:uuid:{number}>\r\n"
        f"WARC-Target-URI: http://site/{number}\r\nWARC-Date: 2020-01-01T00:00:00Z\r\n"
        f"Content-Type: application/http;msgtype=response\r\nContent-Length: {length or len(message)}\r\n\r\n"
    )
    return head.encode() + message + b"\r\n\r\n"


def pages(count):
    return [member(n, b"<html><body>" + os.urandom(1500).hex().encode() + b"</body></html>") for n in range(count)]


def warc(path, records, *, packed=True, whole=False):
    parts = [gzip.compress(r, mtime=0) for r in records] if packed and not whole else records
    data = b"".join(parts)
    path.write_bytes(gzip.compress(data) if whole else data)
    return path


BAD_LINES = [
    (b"no json", "not_json"),
    (b'{"text": "open', "not_json"),
    (b'{"other": 1}', "missing_text"),
    (b'{"text": null}', "text_is_null"),
    (b'{"text": 5}', "text_not_a_string"),
    (b'{"text": ["a"]}', "text_not_a_string"),
    (b"[1, 2]", "not_an_object"),
    (b'{"text": "\xff\xfe"}', "invalid_utf8"),
    (b'\xff{"text": "x"}', "invalid_utf8"),
    (b'{"text": "\\ud800"}', "lone_surrogate"),
    (b'{"text": "a\\u0000b"}', "nul_character"),
    (b'{"text": "a\x00b"}', "not_json"),
    (b'{"text": ""}', "empty_text"),
    (b'{"text": "  \\n "}', "empty_text"),
    (b"[" * 5000, "not_json"),
]


@pytest.mark.parametrize(("line", "reason"), BAD_LINES)
def test_a_bad_line_is_named_and_its_neighbours_are_kept(tmp_path, line, reason):
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": "before"}, line, {"text": "after"}])
    records = read_all(path)
    assert texts(records) == ["before", "after"]
    assert faults(records) == [(reason, "a.jsonl:2")]
    assert [r.id for r in records] == [f"a.jsonl#0000000{n}" for n in range(3)]
    assert records[1].detail.startswith("a.jsonl:2: ")


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_document_of_fifty_megabytes_is_rejected_without_being_held(tmp_path, suffix):
    path = write_jsonl(tmp_path / f"a.jsonl{suffix}", [{"text": "a"}, {"text": "x" * 50_000_000}, {"text": "b"}])
    records = read_all(path, max_document_bytes=1_000_000)
    assert texts(records) == ["a", "b"]
    assert faults(records) == [("document_too_long", "a.jsonl" + suffix + ":2")]
    assert len(records[1].text) <= 1000


def test_the_limit_counts_utf8_bytes(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": "é" * 50}, {"text": "é" * 51}])
    assert [len(t) for t in texts(read_all(path, max_document_bytes=100))] == [50]


def test_one_character_is_a_document(tmp_path):
    assert texts(read_all(write_jsonl(tmp_path / "a.jsonl", [{"text": "x"}]))) == ["x"]


def test_own_ids_and_fields(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [{"body": "hello", "key": 7, "title": "T", "url": "u"}])
    (record,) = read_all(path, text_field="body", id_field="key")
    assert (record.text, record.source_id, record.title, record.url) == ("hello", "7", "T", "u")


def test_blank_lines_count_but_are_no_documents(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": "a"}, "", {"text": "b"}])
    assert [r.source for r in read_all(path)] == ["a.jsonl:1", "a.jsonl:3"]


def test_truncated_gzip_keeps_what_came_before(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl.gz", [{"text": os.urandom(40).hex()} for _ in range(200)])
    path.write_bytes(path.read_bytes()[:-2000])
    records = read_all(path)
    assert 100 < len(texts(records)) < 200
    assert [reason for reason, _ in faults(records)] == ["truncated_gzip"]
    assert faults(records)[0][1] == f"a.jsonl.gz:{len(texts(records)) + 1}"


def test_a_file_that_is_no_gzip_says_so(tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(b"this is not gzip")
    assert faults(read_all(tmp_path)) == [("corrupt_gzip", "a.jsonl.gz:1")]


@pytest.mark.parametrize(("cut", "reason"), [(0, None), (3000, "truncated_zstd")])
def test_zstd(tmp_path, cut, reason):
    rows = b"".join(json.dumps({"text": os.urandom(40).hex()}).encode() + b"\n" for _ in range(5000))
    packed = pa.compress(rows, codec="zstd", asbytes=True)
    (tmp_path / "a.jsonl.zst").write_bytes(packed[: len(packed) - cut])
    records = read_all(tmp_path)
    assert [r for r, _ in faults(records)] == ([reason] if reason else [])
    assert len(texts(records)) == 5000 if not cut else 0 < len(texts(records)) < 5000


def test_empty_files_are_named(tmp_path):
    for name in ("a.jsonl", "b.html", "c.warc.gz", "d.parquet", "e.jsonl.gz"):
        (tmp_path / name).touch()
    assert {reason for reason, _ in faults(read_all(tmp_path))} == {"empty_file"}
    assert len(read_all(tmp_path)) == 5


@pytest.mark.parametrize("form", ["member per record", "one member", "plain"])
def test_warc_in_every_packing(tmp_path, form):
    name = "a.warc" if form == "plain" else "a.warc.gz"
    warc(tmp_path / name, pages(5), packed=form != "plain", whole=form == "one member")
    records = read_all(tmp_path)
    assert [r.url for r in records] == [f"http://site/{n}" for n in range(5)]
    assert [r.source_id for r in records] == [f"<urn:uuid:{n}>" for n in range(5)]
    assert all(r.html.startswith(b"<html>") for r in records)


def test_only_responses_with_html_are_pages(tmp_path):
    records = [
        member(0, b"GET /", kind="request"),
        member(1, b"<p>yes</p>"),
        member(2, b"\x89PNG", mime="image/png"),
        member(3, b"<p>gone</p>", status="404 Not Found"),
        member(4, b"<p>also</p>", mime="application/xhtml+xml; charset=utf-8"),
        member(5, b"\x00\x01\x02"),
    ]
    warc(tmp_path / "a.warc.gz", records)
    found = read_all(tmp_path)
    assert [r.html for r in found if isinstance(r, Document)] == [b"<p>yes</p>", b"<p>also</p>"]
    assert faults(found) == [("http_error", "a.warc.gz:4"), ("binary_content", "a.warc.gz:6")]


def test_a_chunked_and_compressed_body_is_unpacked(tmp_path):
    body = gzip.compress(b"<p>hello</p>")
    message = b"Transfer-Encoding: chunked\r\nContent-Encoding: gzip\r\nContent-Type: text/html\r\n\r\n"
    chunked = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
    whole = b"HTTP/1.1 200 OK\r\n" + message + chunked
    head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: u\r\nContent-Length: {len(whole)}\r\n"
    head += "Content-Type: application/http; msgtype=response\r\n\r\n"
    (tmp_path / "a.warc").write_bytes(head.encode() + whole + b"\r\n\r\n")
    assert [r.html for r in read_all(tmp_path)] == [b"<p>hello</p>"]


@pytest.mark.parametrize("cut", [1, 500, 1900])
def test_a_truncated_warc_keeps_the_records_before(tmp_path, cut):
    path = warc(tmp_path / "a.warc.gz", pages(5))
    path.write_bytes(path.read_bytes()[:-cut])
    records = read_all(tmp_path)
    assert [r.url for r in records if isinstance(r, Document)] == [f"http://site/{n}" for n in range(4 + (cut == 1))]
    assert [reason for reason, _ in faults(records)] == ["truncated_gzip"]


def test_damage_inside_a_warc_costs_one_record(tmp_path):
    parts = [bytearray(gzip.compress(page, mtime=0)) for page in pages(6)]
    parts[2][700:760] = b"\0" * 60
    (tmp_path / "a.warc.gz").write_bytes(b"".join(parts))
    records = read_all(tmp_path)
    assert [r.url for r in records if isinstance(r, Document)] == [f"http://site/{n}" for n in (0, 1, 3, 4, 5)]
    assert [reason for reason, _ in faults(records)] == ["corrupt_gzip"]


def test_a_wrong_length_in_a_plain_warc_costs_what_it_hides(tmp_path):
    records = pages(4)
    records[1] = member(1, b"<p>short</p>", length=70)
    warc(tmp_path / "a.warc", records, packed=False)
    found = read_all(tmp_path)
    assert [r.url for r in found if isinstance(r, Document)] == [f"http://site/{n}" for n in (0, 1, 3)]
    assert faults(found) == [("not_a_warc_record", "a.warc:3")]
    warc(tmp_path / "a.warc", [b"garbage in front\r\n\r\n", *records[2:]], packed=False)
    found = read_all(tmp_path)
    assert faults(found) == [("not_a_warc_record", "a.warc:1")]
    assert len(found) == 3


def test_a_huge_page_is_rejected_and_the_next_is_read(tmp_path):
    warc(tmp_path / "a.warc.gz", [member(0, b"<p>" + b"x" * 50_000_000), member(1, b"<p>small</p>")])
    records = read_all(tmp_path)
    assert faults(records) == [("document_too_long", "a.warc.gz:1")]
    assert records[1].html == b"<p>small</p>"


@settings(deadline=None, max_examples=60)
@given(data=st.binary(max_size=400), position=st.integers(0, 9000), cut=st.integers(0, 400))
def test_no_damage_makes_a_warc_crash_or_hides_all_of_it(tmp_path_factory, data, position, cut):
    folder = tmp_path_factory.mktemp("warc")
    whole = b"".join(gzip.compress(page, mtime=0) for page in pages(5))
    broken = whole[:position] + data + whole[position + cut :]
    (folder / "a.warc.gz").write_bytes(broken)
    records = read_all(folder)
    assert len([r for r in records if isinstance(r, Document)]) >= 3 - (cut > 300)


def test_html_folder(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/b.htm").write_text("<p>two</p>")
    (tmp_path / "a.html").write_text("<p>one</p>")
    (tmp_path / "c.html").write_bytes(b"\0\0\0\1")
    (tmp_path / "d.html").write_bytes(b"<p>" + b"x" * 2000)
    (tmp_path / "notes.md").write_text("left alone")
    (tmp_path / ".hidden.html").write_text("no")
    listing = list_input(tmp_path)
    assert [f.name for f in listing.files] == ["a.html", "c.html", "d.html", "deep/b.htm"]
    assert listing.ignored == ["notes.md"]
    records = read_all(tmp_path, max_document_bytes=1000)
    assert [r.id for r in records if isinstance(r, Document)] == ["a.html#00000000", "deep/b.htm#00000000"]
    assert faults(records) == [("binary_content", "c.html"), ("document_too_long", "d.html")]


def test_parquet_with_and_without_text(tmp_path):
    pq.write_table(pa.table({"text": ["a", None, ""], "id": [1, 2, 3]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"content": ["a"]}), tmp_path / "b.parquet")
    pq.write_table(pa.table({"text": [1.5]}), tmp_path / "c.parquet")
    (tmp_path / "d.parquet").write_bytes(b"PAR1 but not really")
    records = read_all(tmp_path)
    assert texts(records) == ["a"]
    assert [reason for reason, _ in faults(records)] == [
        "text_is_null", "empty_text", "missing_text", "text_not_a_string", "corrupt_parquet"
    ]  # fmt: skip
    assert records[0].source_id == "1"


def test_invalid_utf8_in_a_parquet_row_costs_that_row(tmp_path):
    offsets, data = pa.array([0, 3, 5, 8], pa.int32()).buffers()[1], pa.py_buffer(b"one\xff\xfetwo")
    column = pa.Array.from_buffers(pa.string(), 3, [None, offsets, data])
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    records = read_all(tmp_path)
    assert texts(records) == ["one", "two"]
    assert faults(records) == [("invalid_utf8", "a.parquet:2")]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p / "absent", r"absent: no such file or folder"),
        (lambda p: p, r"the folder is empty; it reads .warc, "),
        (lambda p: (p / "a.md").write_text("x") and p / "a.md", r"'a.md' is of no known format"),
        (lambda p: (p / "a.md").write_text("x") and (p / "b").write_text("x") and p, r"none of its 2 files is of"),
    ],
)
def test_inputs_that_hold_nothing_are_refused(tmp_path, make, message):
    with pytest.raises(InputError, match=message):
        list_input(make(tmp_path))


def test_order_of_files_is_the_order_of_ids(tmp_path):
    for name in ("a.jsonl", "a.jsonl.gz", "a b.jsonl", "a-1.jsonl", "a/x.jsonl", "B.jsonl"):
        write_jsonl(tmp_path / name, [{"text": prose(1)}])
    ids = [record.id for record in read_all(tmp_path)]
    assert ids == sorted(ids)


PAGE = b"<html><body><p>The river runs to the sea.</p></body></html>"
CHUNKS = b"%x;name=value\r\n" % len(PAGE) + PAGE + b"\r\n0\r\nTrailer: x\r\n\r\n"
BARE = zlib.compressobj(wbits=-15)
BODIES = [
    ("Content-Encoding: gzip", PAGE, PAGE),
    ("Content-Encoding: br", PAGE, PAGE),
    ("Content-Encoding: x-gzip", gzip.compress(PAGE), PAGE),
    ("Content-Encoding: deflate", BARE.compress(PAGE) + BARE.flush(), PAGE),
    ("Content-Encoding: deflate", zlib.compress(PAGE), PAGE),
    ("Content-Encoding: gzip", gzip.compress(PAGE)[:-9], PAGE),
    ("Transfer-Encoding: chunked", PAGE, PAGE),
    ("Transfer-Encoding: chunked", CHUNKS, PAGE),
    ("Transfer-Encoding: chunked", CHUNKS[:40], PAGE[:25]),
    ("Content-Encoding: none", PAGE, PAGE),
    ("Content-Encoding: utf-8", PAGE, PAGE),
    ("Content-Encoding: compress, gzip", gzip.compress(PAGE), PAGE),
    ("Transfer-Encoding: gzip, chunked", PAGE, PAGE),
    ("Transfer-Encoding: chunked\r\nContent-Encoding: gzip", CHUNKS, PAGE),
]


@pytest.mark.parametrize(("field", "body", "page"), BODIES)
def test_a_body_in_another_coding_than_it_says_is_read_as_far_as_it_goes(tmp_path, field, body, page):
    records = [member(0, body, mime=f"text/html\r\n{field}"), member(1, b"<p>next</p>")]
    warc(tmp_path / "a.warc.gz", records)
    assert [r.html for r in read_all(tmp_path)] == [page, b"<p>next</p>"]


def test_a_body_that_nothing_decodes_is_named(tmp_path):
    noise = gzip.compress(os.urandom(3000))
    warc(tmp_path / "a.warc.gz", [member(0, noise, mime="text/html\r\nContent-Encoding: br"), member(1, b"<p>n</p>")])
    records = read_all(tmp_path)
    assert faults(records) == [("binary_content", "a.warc.gz:1")]
    assert records[1].html == b"<p>n</p>"


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    "change",
    [
        lambda r: r.replace(b"WARC/1.1", b"WARC/0.18"),
        lambda r: r.replace(b"\r\nWARC-", b"\nWARC-").replace(b"\r\nContent-Length", b"\nContent-Length"),
        lambda r: re.sub(rb"\r?\n\r\n(?=HTTP)", b"\n\n", r.replace(b"WARC/1.1\r\n", b"WARC/1.1\n")),
        lambda r: r.replace(b"Content-Length:", b"Content-Length :"),
    ],
)
def test_heads_of_old_and_careless_crawlers_are_read(tmp_path, change, packed):
    warc(tmp_path / ("a.warc.gz" if packed else "a.warc"), [change(member(n, PAGE)) for n in range(3)], packed=packed)
    assert [r.html for r in read_all(tmp_path)] == [PAGE] * 3


def test_an_http_head_with_line_feeds_alone_is_a_head(tmp_path):
    message = b'HTTP/1.1 200 OK\nContent-Type: text/html; charset="koi8-r"\n\n' + PAGE
    (tmp_path / "a.warc").write_bytes(response(message) + member(1, PAGE))
    records = read_all(tmp_path)
    assert [(r.html, r.charset) for r in records] == [(PAGE, "koi8-r"), (PAGE, "")]


def response(message, more=""):
    head = "WARC/1.0\r\nWARC-Type: response\r\nContent-Type: application/http; msgtype=response\r\n"
    return f"{head}{more}Content-Length: {len(message)}\r\n\r\n".encode() + message + b"\r\n\r\n"


@pytest.mark.parametrize("packed", [True, False])
def test_a_length_beyond_the_file_costs_one_record(tmp_path, packed):
    records = [member(0, PAGE), member(1, PAGE, length=10**9), member(2, PAGE)]
    name = "a.warc.gz" if packed else "a.warc"
    warc(tmp_path / name, records, packed=packed)
    found = read_all(tmp_path)
    assert [r.url for r in found if isinstance(r, Document)] == ["http://site/0", "http://site/2"]
    assert faults(found) == [("truncated_record", f"{name}:2")]


@pytest.mark.parametrize("length", ["9" * 5000, "-5", "x"])
def test_a_length_that_is_none_costs_one_record(tmp_path, length):
    data = re.sub(rb"Content-Length: \d+", f"Content-Length: {length}".encode(), member(0, PAGE)) + member(1, PAGE)
    (tmp_path / "a.warc").write_bytes(data)
    found = read_all(tmp_path)
    assert faults(found) == [("not_a_warc_record", "a.warc:1")]
    assert found[1].html == PAGE


def test_what_a_file_begins_with_says_whether_it_is_packed(tmp_path):
    warc(tmp_path / "a.warc.gz", pages(3), packed=False)
    warc(tmp_path / "b.warc", pages(3), packed=True)
    assert [r.url for r in read_all(tmp_path)] == [f"http://site/{n}" for n in range(3)] * 2


def test_the_crawler_knows_better_than_the_server_what_a_body_is(tmp_path):
    def served(mime, identified):
        message = f"HTTP/1.1 200 OK\r\nContent-Type: {mime}\r\n\r\n".encode() + PAGE
        return response(message, f"WARC-Identified-Payload-Type: {identified}\r\n" if identified else "")

    kinds = [("application/octet-stream", "text/html"), ("text/html", "application/pdf"), ("text/html charset=x", "")]
    (tmp_path / "a.warc").write_bytes(b"".join(served(*kind) for kind in kinds))
    assert [r.id for r in read_all(tmp_path)] == ["a.warc#00000000", "a.warc#00000002"]


@settings(deadline=None, max_examples=80)
@given(
    body=st.binary(max_size=120) | st.binary(max_size=80).map(gzip.compress) | st.just(CHUNKS),
    cut=st.integers(0, 100),
    coding=st.sampled_from(["gzip", "br", "zstd", "deflate", "x-gzip", "identity", "gzip, br", ""]),
    transfer=st.sampled_from(["chunked", "gzip, chunked", "identity", ""]),
)
def test_no_body_and_no_coding_stops_a_file(tmp_path_factory, body, cut, coding, transfer):
    path = tmp_path_factory.getbasetemp() / "codings.warc"
    fields = f"text/html\r\nContent-Encoding: {coding}\r\nTransfer-Encoding: {transfer}"
    path.write_bytes(member(0, body[cut:], mime=fields) + member(1, PAGE))
    records = read_all(path)
    assert [r.id for r in records] == ["codings.warc#00000000", "codings.warc#00000001"]
    assert records[1].html == PAGE


@settings(deadline=None, max_examples=60)
@given(data=st.binary(max_size=200), position=st.integers(0, 9000), cut=st.integers(0, 400))
def test_no_damage_of_a_plain_warc_hides_what_lies_beyond(tmp_path_factory, data, position, cut):
    path = tmp_path_factory.getbasetemp() / "damaged.warc"
    whole = b"".join(pages(5))
    path.write_bytes(whole[:position] + data + whole[position + cut :])
    assert len([r for r in read_all(path) if isinstance(r, Document)]) >= 2
