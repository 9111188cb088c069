"""The documentation of the running Python becomes the same WARC every time, whatever its modules do."""

import json
import sys

import pytest

from nemo_curator.acquire.docstrings import first_sentence, scrub, summary_of, to_html
from nemo_curator.acquire.modules import list_modules
from nemo_curator.acquire.python_docs import Shard, render_one
from nemo_curator.acquire.render import render_shard
from nemo_curator.cli import main
from nemo_curator.extract.html import Extract, extract
from nemo_curator.foundation import artifact
from nemo_curator.read.files import list_input
from nemo_curator.read.records import Reading, read_file


def acquire(output, *words):
    return main(["acquire", "source=python-docs", f"output={output}", *words])


def pages_of(output):
    records = [r for file in list_input(output).files for r in read_file(file, Reading())]
    return dict(extract(record.html, record.charset, Extract())[::-1] for record in records)


def test_pages_of_a_module_read_well(tmp_path):
    assert acquire(tmp_path / "pages", "modules=[textwrap]") == 0
    pages = pages_of(tmp_path / "pages")
    assert set(pages) > {"textwrap", "textwrap.dedent", "textwrap.TextWrapper", "textwrap.TextWrapper.wrap"}
    text = pages["textwrap.dedent"]
    assert text.startswith("textwrap.dedent\n\nRemove any common leading whitespace from every line in `text`.\n\n")
    assert "dedent(text)" in text
    assert "Privacy" not in text
    assert "Report a bug" not in text


def test_two_runs_make_the_same_bytes(tmp_path, capsys):
    digests = []
    for name, workers in (("a", 1), ("b", 2)):
        assert acquire(tmp_path / name, "modules=[json, argparse, functools]", f"workers={workers}") == 0
        digests.append(artifact.read(tmp_path / name, "raw-web").digest)
    assert digests[0] == digests[1]


def test_addresses_of_objects_are_no_part_of_a_page():
    assert scrub("f(x=<object object at 0x7f12ab>)") == "f(x=<object object>)"


def test_an_unknown_module_is_refused(tmp_path, capsys):
    assert acquire(tmp_path / "pages", "modules=[nosuchmodule]") == 2
    assert "not part of Python on this platform" in capsys.readouterr().err


def test_modules_with_side_effects_are_left_out_and_named():
    names, left_out = list_modules()
    assert {"antigravity", "this", "idlelib"} <= set(left_out)
    assert not {"antigravity", "this", "test", "tkinter"} & {name.split(".")[0] for name in names}
    assert {"json", "json.decoder", "asyncio.queues", "xml.etree.ElementTree"} <= set(names)
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise ValueError('no')", "ValueError: no"),
        ("import sys; sys.exit(3)", "ImportError: asked to exit with 3"),
        ("import nowhere", "ModuleNotFoundError: No module named 'nowhere'"),
        ("import os; os.abort()", "ended the process that imported it"),
        ("import os; os._exit(0)", "ended the process that imported it"),
    ],
)
def test_a_module_that_cannot_be_imported_is_named_and_the_others_are_rendered(tmp_path, monkeypatch, body, reason):
    (tmp_path / "badmodule.py").write_text(body)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    shard = Shard(0, ["textwrap", "badmodule", "heapq"], tmp_path / "draft")
    import queue

    assert render_one(shard, queue.SimpleQueue()) > 8
    assert json.loads(shard.done.read_text())["failed"] == {"badmodule": reason}


def test_a_module_that_prints_spoils_nothing(tmp_path, monkeypatch, capfd):
    (tmp_path / "loudmodule.py").write_text(
        "'''Speaks up.'''\nprint('loud')\nimport sys; print('louder', file=sys.stderr)"
    )
    monkeypatch.syspath_prepend(tmp_path)
    found = render_shard(
        output=str(tmp_path / "x.warc.gz"), note=str(tmp_path / "note"), modules=["loudmodule"], crashed=[]
    )
    assert found == {"pages": 1, "failed": {}}
    assert capfd.readouterr() == ("", "")


def test_documentation_becomes_paragraphs_lists_and_code():
    text = """fill(text) -> str

Fill a paragraph,
over two lines.

- first item
  goes on
- second

>>> fill("x")
'x'

Heading
-------
"""
    assert to_html(text).split("\n") == [
        "<pre><code>fill(text) -&gt; str</code></pre>",
        "<p>Fill a paragraph, over two lines.</p>",
        "<ul>",
        "<li>first item goes on</li>",
        "<li>second</li>",
        "</ul>",
        "<pre><code>&gt;&gt;&gt; fill(&quot;x&quot;)",
        "&#x27;x&#x27;</code></pre>",
        "<h3>Heading</h3>",
    ]
    assert summary_of(text) == "Fill a paragraph, over two lines."
    assert first_sentence("One thing. Another thing.") == "One thing."
