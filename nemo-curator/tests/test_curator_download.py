"""Files come whole from a server that is slow, busy, broken or gone, and a download goes on where it stopped."""

import bz2
import gzip
import hashlib
import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from nemo_curator.acquire.download.http import Client
from nemo_curator.acquire.download.limiter import Limiter
from nemo_curator.acquire.download.remote import GoneError, Remote
from nemo_curator.acquire.download.settings import Download
from nemo_curator.cli import main
from nemo_curator.foundation import artifact
from nemo_curator.foundation.errors import InputError, RetryableError

BODY = bytes(range(256)) * 8000


class Site:
    """A web server whose answers to a path are a list of troubles, one a request, and then the file."""

    def __init__(self):
        self.files, self.troubles, self.requests, self.ranges = {}, {}, Counter(), []
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                site.answer(self)

            def log_message(self, *_):
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, handler):
        path = handler.path
        self.requests[path] += 1
        troubles = self.troubles.get(path, [])
        trouble = troubles.pop(0) if troubles else None
        if isinstance(trouble, int):
            handler.send_response(trouble)
            handler.send_header("Content-Length", "0")
            if trouble == 503:
                handler.send_header("Retry-After", "7")
            handler.end_headers()
        elif path not in self.files:
            handler.send_error(404)
        else:
            self.send(handler, self.files[path], cut=trouble)

    def send(self, handler, body, *, cut):
        tag = f'"{hashlib.md5(body).hexdigest()}"'
        begin = 0
        asked = handler.headers.get("Range")
        if asked and handler.headers.get("If-Range") == tag:
            begin = int(asked.removeprefix("bytes=").rstrip("-"))
            self.ranges.append(begin)
        if begin > len(body):
            handler.send_error(416)
            return
        handler.send_response(206 if begin else 200)
        handler.send_header("ETag", tag)
        handler.send_header("Content-Length", str(len(body) - begin))
        handler.end_headers()
        part = body[begin:]
        if cut == "cut":
            handler.wfile.write(part[: len(part) // 2])
            handler.wfile.flush()
            handler.close_connection = True
            handler.connection.close()
        elif cut == "flip":
            handler.wfile.write(bytes([part[0] ^ 1]) + part[1:])
        else:
            handler.wfile.write(part)


@pytest.fixture
def site():
    site = Site()
    yield site
    site.server.shutdown()
    site.server.server_close()
    site.thread.join()


def client(**settings):
    slept = []
    made = Client(Download(**{"timeout_s": 5.0, **settings}), sleep=slept.append)
    return made, slept


def remote(site, path="/a.bin", **known):
    return Remote(url=site.url + path, name=path[1:], **known)


def leftovers(folder):
    return [path.name for path in folder.rglob("*") if path.name.startswith(".")]


def test_a_file_comes_whole_and_is_not_fetched_twice(site, tmp_path):
    site.files["/a.bin"] = BODY
    got = []
    made, _ = client()
    path = made.fetch(remote(site), tmp_path, arrived=got.append)
    assert path.read_bytes() == BODY
    assert sum(got) == len(BODY)
    made.fetch(remote(site), tmp_path)
    assert site.requests["/a.bin"] == 1
    assert leftovers(tmp_path) == []


def test_a_broken_connection_goes_on_where_it_broke(site, tmp_path):
    site.files["/a.bin"] = BODY
    site.troubles["/a.bin"] = ["cut", "cut"]
    made, _ = client()
    assert made.fetch(remote(site), tmp_path).read_bytes() == BODY
    assert len(site.ranges) == 2
    assert 0 < site.ranges[0] < site.ranges[1] < len(BODY)


def test_another_client_goes_on_with_what_a_killed_one_left(site, tmp_path):
    site.files["/a.bin"] = BODY
    site.troubles["/a.bin"] = ["cut"]
    with pytest.raises(RetryableError, match=r"a\.bin: .*(?:ended|Incomplete|Connection)"):
        client(attempts=1)[0].fetch(remote(site), tmp_path)
    assert not (tmp_path / "a.bin").exists()
    assert client()[0].fetch(remote(site), tmp_path).read_bytes() == BODY
    assert len(site.ranges) == 1


def test_a_file_that_changed_in_between_is_fetched_from_its_beginning(site, tmp_path):
    site.files["/a.bin"] = BODY
    site.troubles["/a.bin"] = ["cut"]
    with pytest.raises(RetryableError):
        client(attempts=1)[0].fetch(remote(site), tmp_path)
    site.files["/a.bin"] = BODY[::-1]
    assert client()[0].fetch(remote(site), tmp_path).read_bytes() == BODY[::-1]


def test_a_busy_server_is_asked_again_after_the_time_it_names(site, tmp_path):
    site.files["/a.bin"] = BODY
    site.troubles["/a.bin"] = [503, 500, 429]
    made, slept = client(backoff_s=2.0)
    assert made.fetch(remote(site), tmp_path).read_bytes() == BODY
    assert slept == [7.0, 4.0, 8.0]


def test_a_server_that_stays_busy_is_given_up_in_the_end(site, tmp_path):
    site.files["/a.bin"] = BODY
    site.troubles["/a.bin"] = [503] * 9
    made, slept = client(attempts=3, max_wait_s=5.0)
    with pytest.raises(
        RetryableError, match=r"/a.bin: answers 503 Service Unavailable \(tried 3 times\); run the same"
    ):
        made.fetch(remote(site), tmp_path)
    assert slept == [5.0, 5.0]


def test_a_closed_client_stops_what_it_fetches_and_another_one_goes_on(site, tmp_path):
    site.files["/a.bin"] = BODY
    made, _ = client()
    with pytest.raises(InterruptedError, match="the download was stopped"):
        made.fetch(remote(site), tmp_path, arrived=lambda _: made.close())
    assert not (tmp_path / "a.bin").exists()
    assert client()[0].fetch(remote(site), tmp_path).read_bytes() == BODY
    assert len(site.ranges) == 1


def test_a_file_that_is_gone_is_not_asked_for_again(site, tmp_path):
    made, slept = client()
    with pytest.raises(GoneError, match=r"/a\.bin: answers 404 Not Found"):
        made.fetch(remote(site), tmp_path)
    assert slept == []


def test_wrong_content_is_fetched_anew_and_never_kept(site, tmp_path):
    site.files["/a.bin"] = BODY
    digest = f"sha1:{hashlib.sha1(BODY).hexdigest()}"
    site.troubles["/a.bin"] = ["flip"]
    made, _ = client(attempts=2)
    assert made.fetch(remote(site, digest=digest, num_bytes=len(BODY)), tmp_path).read_bytes() == BODY
    (tmp_path / "a.bin").unlink()
    site.troubles["/a.bin"] = ["flip", "flip"]
    with pytest.raises(GoneError, match=r"has sha1 \w+, its listing says"):
        made.fetch(remote(site, digest=digest), tmp_path)
    with pytest.raises(GoneError, match=r"has 2048000 bytes, its listing says 5"):
        made.fetch(remote(site, num_bytes=5), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../a", "/a", "a//b", "a/../../b", "", "a\\b"])
def test_a_name_never_leads_out_of_the_folder(name):
    with pytest.raises(InputError, match="is no name for a file inside the output"):
        Remote(url="http://x/", name=name)


def test_a_rate_limit_is_shared_and_kept():
    clock = [0.0]
    limiter = Limiter(10, now=lambda: clock[0], sleep=lambda s: clock.__setitem__(0, clock[0] + s))
    for _ in range(50):
        limiter.take(1)
    assert clock[0] == pytest.approx(4.0, abs=1.01)
    Limiter(None).take(10**9)


def crawl(site, *snapshots, kind="warc", files=2):
    """A small Common Crawl."""
    for snapshot in snapshots:
        paths = [f"crawl-data/{snapshot}/segments/1/{kind}/{snapshot}-{n:05d}.{kind}.gz" for n in range(files)]
        listing = f"/crawl-data/{snapshot}/{kind}.paths.gz"
        site.files[listing] = gzip.compress("".join(f"{path}\n" for path in paths).encode())
        site.files |= {f"/{path}": gzip.compress(path.encode()) for path in paths}
    ids = [{"id": snapshot} for snapshot in reversed(snapshots) if snapshot.startswith("CC-MAIN")]
    site.files["/collinfo.json"] = json.dumps(ids).encode()


def acquire(site, tmp_path, *words):
    base = [f"common_crawl.base_url={site.url}", f"common_crawl.index_url={site.url}/collinfo.json"]
    fast = ["download.backoff_s=0", "download.attempts=2", f"output={tmp_path}/out"]
    return main(["acquire", *base, *fast, *words])


def names(folder):
    return [record.path.removeprefix("data/") for record in artifact.read(folder, "raw-web").files]


def test_a_range_of_snapshots_of_common_crawl(site, tmp_path, capsys):
    crawl(site, "CC-MAIN-2023-50", "CC-MAIN-2024-10", "CC-MAIN-2024-18", "CC-MAIN-2024-22")
    words = ["source=common-crawl", "common_crawl.start=2024-10", "common_crawl.end=2024-18"]
    assert acquire(site, tmp_path, *words) == 0
    assert json.loads(capsys.readouterr().out)["files"] == 4
    folders = ("CC-MAIN-2024-10", "CC-MAIN-2024-18")
    assert names(tmp_path / "out") == [f"{f}/{f}-{n:05d}.warc.gz" for f in folders for n in range(2)]


def test_the_news_crawl_by_month(site, tmp_path):
    for month in ("2023/12", "2024/01"):
        path = f"crawl-data/CC-NEWS/{month}/CC-NEWS-1.warc.gz"
        site.files[f"/crawl-data/CC-NEWS/{month}/warc.paths.gz"] = gzip.compress(path.encode())
        site.files[f"/{path}"] = b"x"
    words = ["source=common-crawl", "common_crawl.news=true", "common_crawl.start=2023-12", "common_crawl.end=2024-01"]
    assert acquire(site, tmp_path, *words) == 0
    assert names(tmp_path / "out") == ["CC-NEWS-2023-12/CC-NEWS-1.warc.gz", "CC-NEWS-2024-01/CC-NEWS-1.warc.gz"]


def test_a_run_that_could_not_finish_goes_on_and_does_not_fetch_again(site, tmp_path, capsys):
    crawl(site, "CC-MAIN-2024-10", kind="wet", files=3)
    busy = "/crawl-data/CC-MAIN-2024-10/segments/1/wet/CC-MAIN-2024-10-00001.wet.gz"
    site.troubles[busy] = [503, 503]
    words = ["source=common-crawl", "common_crawl.start=2024-10", "common_crawl.kind=wet", "download.max_wait_s=0.01"]
    assert acquire(site, tmp_path, *words) == 75
    error = capsys.readouterr().err
    assert "1 of 3 files could not be fetched yet, e.g." in error and "503 Service Unavailable" in error
    assert not (tmp_path / "out").exists()
    assert acquire(site, tmp_path, *words) == 0
    assert {path: n for path, n in site.requests.items() if path.endswith("wet.gz")} == {
        busy: 3,
        busy.replace("00001", "00000"): 1,
        busy.replace("00001", "00002"): 1,
    }


def test_resume_fetches_what_is_missing(site, tmp_path, capsys):
    site.files |= {"/a.html": b"<p>one", "/b.html": b"<p>two"}
    site.troubles["/b.html"] = [503, 503]
    words = ["source=urls", f"urls=[{site.url}/a.html,{site.url}/b.html]", "download.max_wait_s=0.01"]
    assert acquire(site, tmp_path, *words) == 75
    assert main(["resume", f"{tmp_path}/out", "connections=1"]) == 0
    assert "resume: acquire: 1 of 2 files are there" in capsys.readouterr().err
    assert names(tmp_path / "out") == ["a.html", "b.html"]
    assert site.requests["/a.html"] == 1


def test_files_that_are_gone_are_counted_and_named(site, tmp_path):
    crawl(site, "CC-MAIN-2024-10", files=3)
    gone = "/crawl-data/CC-MAIN-2024-10/segments/1/warc/CC-MAIN-2024-10-00002.warc.gz"
    del site.files[gone]
    assert acquire(site, tmp_path, "source=common-crawl", "common_crawl.start=CC-MAIN-2024-10") == 0
    stats = artifact.read(tmp_path / "out", "raw-web").stats
    assert stats["files"] == 2
    assert stats["failed"] == {site.url + gone: f"{site.url}{gone}: answers 404 Not Found"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["source=comon-crawl"], "source=comon-crawl: unknown; did you mean 'common-crawl'"),
        (["source=common-crawl"], r"common_crawl.start='': write year-week, such as 2024-10"),
        (
            ["source=common-crawl", "common_crawl.start=2024-18", "common_crawl.end=2024-10"],
            "is after common_crawl.end",
        ),
        (["source=common-crawl", "common_crawl.start=2020-01", "common_crawl.end=2020-03"], "no snapshot from 2020-01"),
        (["source=common-crawl", "common_crawl.start=2020-01"], "warc.paths.gz: answers 404 Not Found"),
        (["source=common-crawl", "common_crawl.start=2024-13", "common_crawl.news=true"], "by month, and 13 is none"),
        (["source=common-crawl", "common_crawl.start=2024-54"], "by week, and 54 is none"),
        (["source=common-crawl", "common_crawl.start=2015-01", "common_crawl.news=true"], "crawl begins in 2016-08"),
        (
            ["source=common-crawl", "common_crawl.kind=wet", "common_crawl.news=true"],
            "the news crawl has WARC files only",
        ),
        (["source=urls"], r"source=urls needs urls=\[…\] or url_file=FILE"),
        (["source=urls", "urls=[ftp://x/y]"], "'ftp://x/y' is no http or https address"),
        (["source=urls", "url_file=/nowhere/list"], "url_file=/nowhere/list: .*No such file"),
        (["source=arxiv"], "arxiv.base_url: give the http"),
    ],
)
def test_what_cannot_be_acquired_is_said(site, tmp_path, capsys, words, message):
    crawl(site, "CC-MAIN-2024-10", "CC-MAIN-2024-18")
    assert acquire(site, tmp_path, *words) == 2
    error = capsys.readouterr().err
    import re

    assert re.search(message, error), error
    assert not (tmp_path / "out").exists()


def test_addresses_of_ones_own(site, tmp_path):
    site.files |= {"/x/a.html": b"<p>one", "/y/a.html": b"<p>two", "/": b"<p>front"}
    (tmp_path / "list").write_text(f"# mine\n{site.url}/x/a.html\n\n{site.url}/y/a.html\n{site.url}/\n")
    assert acquire(site, tmp_path, "source=urls", f"url_file={tmp_path}/list") == 0
    assert names(tmp_path / "out") == ["2-a.html", "a.html", "index.html"]


def wiki(site, date, status="done", text=b"<mediawiki/>"):
    name = f"swwiki-{date}-pages-articles-multistream.xml.bz2"
    body = bz2.compress(text)
    files = {
        name: {"size": len(body), "url": f"/swwiki/{date}/{name}", "sha1": hashlib.sha1(body).hexdigest()},
        name.replace(".xml", "-index.txt"): {"size": 1, "url": "/no"},
    }
    jobs = {"jobs": {"articlesmultistreamdump": {"status": status, "files": files}}}
    site.files[f"/swwiki/{date}/dumpstatus.json"] = json.dumps(jobs).encode()
    site.files[f"/swwiki/{date}/{name}"] = body
    return name


def test_the_latest_finished_dump_of_a_wiki(site, tmp_path, capsys):
    wiki(site, "20240101")
    name = wiki(site, "20240201")
    wiki(site, "20240301", status="waiting")
    dates = ("20240101", "20240201", "20240301", "20240401")
    site.files["/swwiki/"] = "".join(f'<a href="{date}/">' for date in dates).encode()
    words = ["source=wikipedia", "wikipedia.language=sw", f"wikipedia.base_url={site.url}"]
    assert acquire(site, tmp_path, *words) == 0
    assert names(tmp_path / "out") == [name]
    assert acquire(site, tmp_path / "b", *words, "wikipedia.date=20240301") == 2
    assert "its articles are 'waiting', not 'done'" in capsys.readouterr().err


def test_months_of_arxiv(site, tmp_path):
    body = b"tar"
    entry = (
        "<file><filename>src/arXiv_src_{0}_001.tar</filename><md5sum>{1}</md5sum><size>3</size><yymm>{0}</yymm></file>"
    )
    months = ("9912", "0001", "2401")
    listing = "".join(entry.format(month, hashlib.md5(body).hexdigest()) for month in months)
    site.files["/src/arXiv_src_manifest.xml"] = f"<arXivSRC>{listing}</arXivSRC>".encode()
    site.files |= {f"/src/arXiv_src_{month}_001.tar": body for month in months}
    words = ["source=arxiv", f"arxiv.base_url={site.url}", "arxiv.end=0101"]
    assert acquire(site, tmp_path, *words) == 0
    assert names(tmp_path / "out") == ["arXiv_src_0001_001.tar", "arXiv_src_9912_001.tar"]


MINE = """
from nemo_curator.acquire.download.remote import Remote
from nemo_curator.document import Document
from nemo_curator.read.records import record_id

def list_files(settings, get):
    return [Remote(url=f"mine:{n}", name=f"{n}.lines") for n in range(int(settings.options["count"]))]

def fetch(remote, folder):
    (folder / remote.name).write_text(f"first of {remote.url}\\nsecond of {remote.url}\\n")

def read(file, reading):
    with file.open() as handle:
        for number, line in enumerate(handle):
            yield Document(id=record_id(file, number), source=file.name, text=line.decode().strip())
"""
POINTS = """
[nemo_curator.sources]
mine = my_source
[nemo_curator.formats]
.lines = my_source:read
"""


def test_a_source_of_another_package_is_three_small_functions(tmp_path, monkeypatch):
    from nemo_curator import curate
    from nemo_curator.read import files
    from nemo_curator.testing.corpora import read_folder

    info = tmp_path / "site/my_source-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-source\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(POINTS)
    (tmp_path / "site/my_source.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path / "site")
    files.offered_formats.cache_clear()
    try:
        assert main(["acquire", "source=mine", "options.count=3", f"output={tmp_path}/out"]) == 0
        curate(tmp_path / "out", tmp_path / "documents", pipeline=["repair"], workers=1)
    finally:
        files.offered_formats.cache_clear()
    rows = read_folder(tmp_path / "documents/data")
    assert [row["text"] for row in rows] == [f"{p} of mine:{n}" for n in range(3) for p in ("first", "second")]
