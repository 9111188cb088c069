"""Input made to break a reader: what is of no use is a reject with its place, memory is bounded, the rest is read."""

import bz2
import gzip
import io
import json
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_curator import curate
from nemo_curator.cli import main
from nemo_curator.document import Document, Reject, rejects_table, to_table
from nemo_curator.foundation import artifact
from nemo_curator.foundation.errors import InputError, RetryableError
from nemo_curator.read.files import InputFile, list_input
from nemo_curator.read.records import Reading, read_file
from nemo_curator.testing.corpora import prose, read_folder, write_jsonl

MEGABYTE = b"x y " * 250_000
MEASURED = """
import json, re, sys
from pathlib import Path
from nemo_curator import curate
result = curate(sys.argv[1], sys.argv[2], pipeline=json.loads(sys.argv[3]), workers=1)
peak = int(re.search(r"VmHWM:[^0-9]*([0-9]+) kB", Path("/proc/self/status").read_text())[1]) * 1024
print(json.dumps([result.documents_in, result.documents_out, result.dropped, peak]))
"""


FUZZED = ("a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.txt.xz", "a.parquet", "a.xml.bz2", "a.tar", "a.warc")
PAPER = b"\\section{x} Said."
ARTICLE = b"<page><ns>0</ns><id>1</id><revision><text>'''A''' {{b|c}}</text></revision></page>"
PACK = {".gz": gzip.compress, ".xz": lzma.compress, ".zst": lambda content: pa.compress(content, "zstd", asbytes=True)}


def good_file(name, folders):
    """The bytes of a small file of this format that is whole."""
    path = folders.mktemp("good") / name
    if name.endswith(".parquet"):
        pq.write_table(pa.table({"text": [f"{n} words" for n in range(20)], "day": [1.5] * 20}), path)
    elif name.endswith(".tar"):
        archive_of([gzip.compress(PAPER, mtime=0)] * 3, path)
    elif name.endswith(".bz2"):
        path.write_bytes(bz2.compress(b"<mediawiki>" + ARTICLE * 5 + b"</mediawiki>"))
    elif name.endswith(".warc"):
        path.write_bytes(SMALL_PAGE.lstrip() * 5)
    else:
        lines = b"".join(json.dumps({"text": f"{n} {n**9}"}).encode() + b"\n" for n in range(40))
        path.write_bytes(PACK.get(path.suffix, bytes)(lines))
    return path.read_bytes()


def archive_of(papers, path):
    """A tar of papers, as arXiv has them."""
    with tarfile.open(path, "w") as archive:
        for number, body in enumerate(papers):
            member = tarfile.TarInfo(f"2401.{number:05d}.gz")
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))


def read_all(path, **reading):
    return [record for file in list_input(path).files for record in read_file(file, Reading(**reading))]


def faults(records):
    return [(r.reason, r.source) for r in records if isinstance(r, Reject)]


def texts(records):
    return [r.text for r in records if isinstance(r, Document)]


def record_head(length, headers=b""):
    message = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n" + headers + b"\r\n"
    head = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: u\r\nContent-Length: {len(message) + length}\r\n"
        "Content-Type: application/http; msgtype=response\r\n\r\n"
    )
    return head.encode() + message


SMALL_PAGE = b"\r\n\r\n" + record_head(9) + b"<p>hi</p>\r\n\r\n"


def long_file(path, before, after, *, megabytes=1000):
    """A file with so many megabytes between two pieces, packed where its name says so."""
    opened = partial(gzip.open, compresslevel=1) if path.name.endswith(".gz") else open
    with opened(path, "wb") as handle:
        handle.write(before)
        for _ in range(megabytes):
            handle.write(MEGABYTE)
        handle.write(after)


def packed(before, *, megabytes):
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=1) as handle:
        handle.write(before)
        for _ in range(megabytes):
            handle.write(MEGABYTE)
    return buffer.getvalue()


def page_that_unpacks_to_much(path):
    body = packed(b"<p>", megabytes=2000)
    path.write_bytes(record_head(len(body), b"Content-Encoding: gzip\r\n") + body + SMALL_PAGE)


def paper_that_unpacks_to_much(path):
    archive_of([packed(b"\\section{x}", megabytes=2000)], path)


def article_without_end(path):
    with bz2.open(path, "wb", 1) as handle:
        handle.write(b"<mediawiki><page><title>t</title><ns>0</ns><id>1</id><revision><text>")
        for _ in range(200):
            handle.write(MEGABYTE)
        handle.write(b"</text></revision></page><page><title>s</title><ns>0</ns><revision><text>hi</text>")
        handle.write(b"</revision></page></mediawiki>")


def rows_of_nine_megabytes(path):
    text = "x y z " * 1_500_000
    with pq.ParquetWriter(path, pa.schema([("text", pa.string())])) as writer:
        for group in range(3):
            writer.write_table(pa.table({"text": [f"{text}{group}-{row}" for row in range(30)]}))


LINE = b'{"text": "a"}\n{"text": "'
HUGE = {  # name: how it is made, documents kept, rejects
    "line.jsonl": (lambda path: long_file(path, LINE, b'"}\n{"text": "b"}\n'), 2, 1),
    "line.jsonl.gz": (lambda path: long_file(path, LINE, b'"}\n{"text": "b"}\n'), 2, 1),
    "text.txt": (lambda path: long_file(path, b"", b""), 0, 1),
    "text.txt.gz": (lambda path: long_file(path, b"", b""), 0, 1),
    "record.warc": (lambda path: long_file(path, record_head(10**9), SMALL_PAGE), 1, 1),
    "record.warc.gz": (lambda path: long_file(path, record_head(10**9), SMALL_PAGE), 1, 1),
    "page.html": (lambda path: long_file(path, b"<p>", b""), 0, 1),
    "bomb.warc": (page_that_unpacks_to_much, 1, 1),
    "bomb.tar": (paper_that_unpacks_to_much, 0, 1),
    "dump.xml.bz2": (article_without_end, 1, 1),
}


def measured(input, output, pipeline):
    """Documents read and kept, rejects by reason, and peak memory of a run in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(input), str(output), json.dumps(pipeline)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("name", HUGE)
def test_what_is_a_gigabyte_long_is_rejected_within_the_memory(tmp_path, name):
    make, kept, rejected = HUGE[name]
    (tmp_path / "in").mkdir()
    make(tmp_path / "in" / name)
    pipeline = ["extract", "exact_dedup"] if name.endswith((".warc", ".warc.gz", ".html")) else ["exact_dedup"]
    read, out, dropped, peak = measured(tmp_path / "in", tmp_path / "out", pipeline)
    assert (read, out, dropped) == (kept + rejected, kept, {"document_too_long": rejected})
    assert peak < 800_000_000
    (reject,) = read_folder(tmp_path / "out/rejects")
    assert reject["detail"].startswith(name)


@pytest.mark.slow
def test_long_rows_of_parquet_are_read_a_few_at_a_time(tmp_path):
    (tmp_path / "in").mkdir()
    rows_of_nine_megabytes(tmp_path / "in/a.parquet")
    read, out, dropped, peak = measured(tmp_path / "in", tmp_path / "out", ["exact_dedup"])
    assert (read, out, dropped) == (90, 90, {})
    assert peak < 1_200_000_000  # a row group is 270 MB, all of them 810 MB


@pytest.mark.slow
def test_a_million_empty_documents_are_a_million_rejects(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.jsonl").write_bytes(b'{"text": ""}\n' * 1_000_000 + b'{"text": "a"}\n')
    read, out, dropped, peak = measured(tmp_path / "in", tmp_path / "out", ["exact_dedup"])
    assert (read, out, dropped) == (1_000_001, 1, {"empty_text": 1_000_000})
    assert peak < 500_000_000


def test_a_page_is_not_unpacked_beyond_the_limit_of_a_document(tmp_path):
    body = gzip.compress(b"<p>" + b"x" * 3_000_000)
    again = gzip.compress(gzip.compress(b"<p>twice</p>"))
    pages = record_head(len(body), b"Content-Encoding: gzip\r\n") + body + SMALL_PAGE
    (tmp_path / "a.warc").write_bytes(pages)
    (tmp_path / "b.warc").write_bytes(record_head(len(again), b"Content-Encoding: gzip\r\n") + again + b"\r\n\r\n")
    records = read_all(tmp_path, max_document_bytes=100_000)
    assert faults(records)[0] == ("document_too_long", "a.warc:1")
    assert records[0].detail == "a.warc:1: 100001 bytes or more"
    assert records[1].html == b"<p>hi</p>"
    assert faults(records)[1:] == [("binary_content", "b.warc:1")]


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.txt.gz", "a.warc.gz"])
def test_gzip_within_gzip_is_no_text(tmp_path, name):
    (tmp_path / name).write_bytes(gzip.compress(gzip.compress(b'{"text": "a"}\n' * 1000, mtime=0)))
    records = read_all(tmp_path)
    assert texts(records) == []
    assert {reason for reason, _ in faults(records)} <= {"invalid_utf8", "not_a_warc_record", "not_json"}


def test_an_article_longer_than_a_document_is_rejected_and_the_next_is_read(tmp_path):
    dump = (
        "<mediawiki xmlns='http://www.mediawiki.org/xml/export-0.10/'><page><title>Long</title><ns>0</ns><id>7</id>"
        f"<revision><id>8</id><text>{'word ' * 5000}</text></revision></page><page><title>Short</title><ns>0</ns>"
        "<id>9</id><revision><id>10</id><text>Said &amp; done.</text></revision></page></mediawiki>"
    )
    (tmp_path / "a.xml").write_text(dump)
    records = read_all(tmp_path, max_document_bytes=1000)
    assert faults(records) == [("document_too_long", "a.xml:1")]
    assert [(r.source_id, r.title, r.text) for r in records[1:]] == [("9", "Short", "Said & done.")]


def test_a_row_that_is_no_utf8_costs_itself_where_columns_are_kept(tmp_path):
    offsets, data = pa.array([0, 3, 5, 8], pa.int32()).buffers()[1], pa.py_buffer(b"one\xff\xfetwo")
    column = pa.Array.from_buffers(pa.string(), 3, [None, offsets, data])
    (tmp_path / "in").mkdir()
    pq.write_table(pa.table({"text": column, "own": [1, 2, 3]}), tmp_path / "in/a.parquet")
    assert main(["shuffle", f"input={tmp_path}/in", f"output={tmp_path}/out"]) == 0
    assert sorted((row["text"], row["own"]) for row in read_folder(tmp_path / "out/data")) == [("one", 1), ("two", 3)]
    assert [row["reason"] for row in read_folder(tmp_path / "out/rejects")] == ["invalid_utf8"]


def test_a_date_beyond_all_calendars_costs_its_row(tmp_path):
    days = pa.array([0, 2**40, 1], pa.timestamp("s"))
    pq.write_table(pa.table({"text": ["one", "two", "three"], "day": days}), tmp_path / "a.parquet")
    records = read_all(tmp_path)
    assert texts(records) == ["one", "three"]
    assert faults(records) == [("corrupt_row", "a.parquet:2")]


def test_what_breaks_off_behind_a_page_has_a_number_of_its_own(tmp_path):
    page = b"<page><ns>0</ns><id>1</id><revision><text>hi</text></revision></page>"
    (tmp_path / "a.xml").write_bytes(b"<mediawiki>" + page)
    records = read_all(tmp_path)
    assert [record.id for record in records] == ["a.xml#00000000", "a.xml#00000001"]
    assert faults(records) == [("corrupt_xml", "a.xml:2")]


def test_a_column_whose_name_is_no_utf8_spoils_its_file_alone(tmp_path):
    pq.write_table(pa.table({"text": ["a"], "other": ["b"]}), tmp_path / "a.parquet")
    content = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(content.replace(b"other", b"ot\xff\xfer"))
    write_jsonl(tmp_path / "b.jsonl", [{"text": "b"}])
    records = read_all(tmp_path)
    assert (texts(records), faults(records)) == (["b"], [("corrupt_parquet", "a.parquet:1")])


@settings(deadline=None, max_examples=150)
@given(data=st.binary(max_size=300), at=st.integers(0, 1500), cut=st.integers(0, 300), name=st.sampled_from(FUZZED))
def test_no_damage_makes_a_reader_crash_or_repeat_an_id(tmp_path_factory, data, at, cut, name):
    whole = good_file(name, tmp_path_factory)
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / name).write_bytes(whole[:at] + data + whole[at + cut :])
    records = read_all(folder)
    assert len({record.id for record in records}) == len(records)
    assert not any("\0" in text for text in texts(records))
    rejects_table([record for record in records if isinstance(record, Reject)]).validate(full=True)
    to_table([record for record in records if isinstance(record, Document)]).validate(full=True)


def test_a_damaged_file_of_documents_costs_itself(tmp_path, corpus):
    curate(corpus, tmp_path / "made", pipeline=["exact_dedup"], workers=1, shard_bytes=1)
    shutil.copytree(tmp_path / "made/data", tmp_path / "in")
    broken = tmp_path / "in/part-00002.parquet"
    content = bytearray(broken.read_bytes())
    content[300:1500] = os.urandom(1200)
    broken.write_bytes(content)
    assert main(["shard", f"input={tmp_path}/in", f"output={tmp_path}/out"]) == 0
    rejects = read_folder(tmp_path / "out/rejects")
    assert [(row["reason"], row["source"].partition(":")[0]) for row in rejects] == [
        ("corrupt_parquet", "part-00002.parquet")
    ]
    assert len(read_folder(tmp_path / "out/data")) >= 90


def test_a_column_that_one_shard_lacks_is_null_there(tmp_path):
    write_jsonl(tmp_path / "in/a.jsonl", [{"text": prose(1), "stars": 5}])
    write_jsonl(tmp_path / "in/b.jsonl", [{"text": prose(2)}])
    pq.write_table(pa.table({"text": [prose(3)]}), tmp_path / "in/c.parquet")
    pq.write_table(pa.table({"other": ["no text"]}), tmp_path / "in/d.parquet")
    words = [f"input={tmp_path}/in", "workers=1", "shard_bytes=1"]
    assert main(["filter", *words, f"output={tmp_path}/out", "preset=gopher"]) == 0
    assert [row["stars"] for row in read_folder(tmp_path / "out/data")] == [5, None, None]
    assert [(row["reason"], row["source"]) for row in read_folder(tmp_path / "out/rejects")] == [
        ("missing_text", "d.parquet:1")
    ]
    assert curate(tmp_path / "in", tmp_path / "run", pipeline=["exact_dedup"], workers=1).documents_out == 3


def test_a_file_name_that_is_no_utf8_is_written_with_escapes(tmp_path):
    (tmp_path / "in").mkdir()
    with open(os.fsencode(tmp_path / "in") + b"/\xff\xfe.jsonl", "wb") as handle:
        handle.write(b'{"text": "a"}\n{}\n')
    write_jsonl(tmp_path / "in/new\nline#1.jsonl", [{"text": "b"}])
    curate(tmp_path / "in", tmp_path / "out", pipeline=["exact_dedup"], workers=2, shard_bytes=1)
    ids = [row["id"] for row in read_folder(tmp_path / "out/data")]
    assert ids == ["\\udcff\\udcfe.jsonl#00000000", "new\nline#1.jsonl#00000000"]
    assert main(["shard", f"input={tmp_path}/in", f"output={tmp_path}/sharded"]) == 0


def test_links_are_followed_to_files_only_and_what_is_left_out_is_named(tmp_path, capsys):
    folder = tmp_path / "in"
    write_jsonl(folder / "a.jsonl", [{"text": "a"}])
    write_jsonl(tmp_path / "elsewhere/b.jsonl", [{"text": "b"}])
    os.symlink(tmp_path / "elsewhere/b.jsonl", folder / "b.jsonl")
    os.symlink(folder, folder / "loop")
    os.symlink("c.jsonl", folder / "c.jsonl")
    os.symlink("nowhere", folder / "d.jsonl")
    os.mkfifo(folder / "e.jsonl")
    listing = list_input(folder)
    assert [file.name for file in listing.files] == ["a.jsonl", "b.jsonl"]
    left_out = [
        "c.jsonl (a link that leads nowhere)",
        "d.jsonl (a link that leads nowhere)",
        "e.jsonl (no regular file)",
        "loop (a link to a folder, not followed)",
    ]
    assert listing.ignored == left_out
    curate(folder, tmp_path / "out", pipeline=["exact_dedup"], workers=1)
    assert artifact.load_manifest(tmp_path / "out").stats["ignored_files"] == left_out
    assert "4 files left out: c.jsonl (a link that leads nowhere), " in capsys.readouterr().err
    assert "4 files were left out" in (tmp_path / "out/report.html").read_text()


def as_nobody(work):
    """What `work` returns in a child process without root's rights, which read everything."""
    child = os.fork()
    if child == 0:
        os.setgid(65534)
        os.setuid(65534)
        os._exit(work())
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give up its rights")
@pytest.mark.parametrize("command", ["run", "shard"])
def test_a_file_that_may_not_be_read_is_a_reject(tmp_path, command):
    tmp_path.parent.parent.chmod(0o755)
    tmp_path.parent.chmod(0o755)
    tmp_path.chmod(0o777)
    write_jsonl(tmp_path / "in/a.jsonl", [{"text": "a"}])
    for name in ("b.jsonl", "c.jsonl.gz", "d.parquet"):
        (tmp_path / "in" / name).write_bytes(b"secret")
        (tmp_path / "in" / name).chmod(0)
    steps = ['pipeline=["exact_dedup"]', "workers=1"] if command == "run" else []
    code = as_nobody(lambda: main([command, f"input={tmp_path}/in", f"output={tmp_path}/out", *steps]))
    assert code == 0
    rejects = read_folder(tmp_path / "out/rejects")
    assert [(row["id"], row["reason"]) for row in rejects] == [
        ("b.jsonl#00000000", "unreadable_file"),
        ("c.jsonl.gz#00000000", "unreadable_file"),
        ("d.parquet#00000000", "unreadable_file"),
    ]
    assert rejects[0]["detail"] == "b.jsonl: Permission denied"
    (tmp_path / "in/deep").mkdir()
    (tmp_path / "in/deep").chmod(0)

    def refused():
        with pytest.raises(InputError, match=r"in/deep cannot be listed \(Permission denied\)"):
            list_input(tmp_path / "in")
        return 0

    assert as_nobody(refused) == 0


def test_a_file_that_changes_while_it_is_read_is_named(tmp_path):
    path = write_jsonl(tmp_path / "in/a.jsonl", [{"text": prose(1)}, {"text": prose(2)}])
    (file,) = list_input(tmp_path / "in").files
    with open(path, "ab") as handle:
        handle.write(b'{"text": "later"}\n')
    records = list(read_file(file, Reading()))
    assert texts(records) == [prose(1), prose(2), "later"]
    assert records[-1].id == "a.jsonl#00000003"
    assert faults(records) == [("changed_while_read", "a.jsonl")]
    assert "were changed while it was read" in records[-1].detail
    path.unlink()
    assert faults(read_file(file, Reading())) == [("unreadable_file", "a.jsonl")]


class FailingDisk(io.BytesIO):  # as a drive that went bad
    def readinto(self, *_):
        raise OSError(5, "Input/output error")

    read = readline = readinto


@pytest.mark.parametrize("name", ["a.jsonl", "a.warc", "a.txt", "a.parquet", "a.html"])
def test_a_disk_that_fails_ends_the_run_with_a_word_on_how_to_go_on(tmp_path, name, monkeypatch):
    monkeypatch.setattr(InputFile, "open", lambda self: FailingDisk(b"x" * 100))
    file = InputFile(path=Path(name), name=name, format=name[2:].replace("txt", "text"), num_bytes=1)
    with pytest.raises(RetryableError, match=r"cannot be read .*Input/output error.*run the same command again"):
        list(read_file(file, Reading()))


LIMITED = """
import resource, sys
from nemo_curator.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.exit(main(sys.argv[2:]))
"""


def test_a_limit_on_the_size_of_files_is_named_and_the_run_goes_on_without_it(corpus, tmp_path):
    words = ["run", f"input={corpus}", f"output={tmp_path}/out", 'pipeline=["exact_dedup"]', "workers=1"]
    done = subprocess.run([sys.executable, "-c", LIMITED, "3000", *words], capture_output=True, text=True)
    assert done.returncode == 75, done.stderr
    assert "a limit on the size of files (ulimit -f) stops writing" in done.stderr
    assert "Traceback" not in done.stderr
    assert main(words) == 0


def test_nothing_depends_on_a_clock_that_runs_backwards(corpus, tmp_path, monkeypatch):
    """Neither results nor resuming take the time of day into account."""
    import datetime
    import time

    curate(corpus, tmp_path / "whole", pipeline=["exact_dedup"], workers=1)

    class Backwards(datetime.datetime):
        calls = 0

        @classmethod
        def now(cls, zone=None):
            cls.calls += 1
            return datetime.datetime(2001, 1, 1, tzinfo=zone) - datetime.timedelta(days=cls.calls)

    monkeypatch.setattr(datetime, "datetime", Backwards)
    monkeypatch.setattr(time, "time", lambda: -1.0)
    for file in corpus.iterdir():
        os.utime(file, (4e9, 4e9))  # written in the year 2096
    curate(corpus, tmp_path / "out", pipeline=["exact_dedup"], workers=1)
    assert Backwards.calls
    made, again = (artifact.load_manifest(tmp_path / name) for name in ("whole", "out"))
    assert made.digest == again.digest
    assert again.created.startswith("2000-12-31")
