"""Ids are the tokenizer's own, however they are computed: remembered, in several processes, from any kind of file."""

import gzip
import http.server
import json
import threading

import fsspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from nemo_core.cli import main
from nemo_core.data.documents import read_shard
from nemo_core.data.indexed import IndexedDataset
from nemo_core.data.segments import LLAMA3_SPLIT, Remembering, cuts_after_letters, id_bytes
from nemo_core.data.sources import as_url
from nemo_core.foundation.errors import InputError
from nemo_core.tokenizer.load import load_tokenizer

NASTY = st.text(
    alphabet=st.one_of(
        st.sampled_from(
            list(" \t\n\r\x00\x1c\x85\xa0\u2028abzAZ019'\"(){}.,;:_-/\\éßſıǅ漢字かな한👍🏽\u0301\u200d\ufeff٣Ⅷ")
        ),
        st.characters(exclude_categories=("Cs",)),
    ),
    max_size=80,
)


def with_pre_tokenizer(tokenizer_folder, pre_tokenizer) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(tokenizer_folder / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    if pre_tokenizer is not None:
        tokenizer.pre_tokenizer = pre_tokenizer
    return tokenizer


PRE_TOKENIZERS = {
    "as trained": lambda: None,
    "gpt-2": lambda: pre_tokenizers.ByteLevel(add_prefix_space=False),
    "llama 3": lambda: pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA3_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    ),
}


@pytest.fixture(scope="module", params=PRE_TOKENIZERS)
def remembering(request, tokenizer_folder):
    import numpy as np

    tokenizer = with_pre_tokenizer(tokenizer_folder, PRE_TOKENIZERS[request.param]())
    encode = id_bytes(tokenizer, np.dtype(np.uint16))
    assert isinstance(encode, Remembering)
    plain = [np.array(tokenizer.encode(c, add_special_tokens=False).ids, np.uint16).tobytes() for c in ("",)]
    assert encode([""]) == plain
    return tokenizer, encode


@settings(max_examples=300, deadline=None)
@given(texts=st.lists(NASTY, max_size=4))
def test_remembered_pieces_give_the_ids_of_the_whole_text(remembering, texts):
    import numpy as np

    tokenizer, encode = remembering
    whole = [np.array(tokenizer.encode(t, add_special_tokens=False).ids, np.uint16).tobytes() for t in texts]
    assert encode(texts) == whole


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda t: setattr(t, "pre_tokenizer", pre_tokenizers.Metaspace()), "words of SentencePiece may join"),
        (lambda t: setattr(t, "pre_tokenizer", pre_tokenizers.ByteLevel(add_prefix_space=True)), "a space is added"),
        (lambda t: t.add_tokens(["a b"]), "an added token may span pieces"),
        (lambda t: setattr(t, "encode_special_tokens", False), "a special token may span pieces"),
        (lambda t: setattr(t, "model", models.WordLevel({"[U]": 0}, "[U]")), "no BPE"),
    ],
)
def test_a_tokenizer_whose_borders_are_unknown_is_asked_for_whole_texts(tokenizer_folder, change, why):
    tokenizer = with_pre_tokenizer(tokenizer_folder, None)
    assert cuts_after_letters(tokenizer)
    change(tokenizer)
    assert not cuts_after_letters(tokenizer), why


def test_several_processes_write_the_bytes_of_one(documents, tokenizer_folder, tmp_path):
    words = [f"documents={documents}", f"tokenizer={tokenizer_folder}", "validation_share=0.2", "batch_bytes=2000"]
    for workers in (1, 3):
        assert main(["tokenize", *words, f"workers={workers}", f"output={tmp_path / str(workers)}"]) == 0
    digests = {json.loads((tmp_path / n / "manifest.json").read_text())["digest"] for n in ("1", "3")}
    assert len(digests) == 1


def test_an_error_in_a_process_names_file_and_line(documents, tokenizer_folder, tmp_path, capsys):
    path = tmp_path / "d.jsonl"
    path.write_text(documents.read_text() + '{"text": 7}\n')
    words = [f"documents={path}", f"tokenizer={tokenizer_folder}", "workers=2", f"output={tmp_path / 'o'}"]
    assert main(["tokenize", *words]) == 2
    assert "d.jsonl:61: no text under 'text'" in capsys.readouterr().err


def test_packed_files_read_as_plain_ones(documents, tmp_path):
    raw = documents.read_bytes()
    half = raw.index(b"\n", len(raw) // 2) + 1
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(raw))
    frames = [zstandard.ZstdCompressor().compress(part) for part in (raw[:half], raw[half:])]
    (tmp_path / "a.jsonl.zst").write_bytes(b"".join(frames))
    plain = [d.text for d in read_shard(documents)]
    assert [d.text for d in read_shard(tmp_path / "a.jsonl.gz")] == plain
    assert [d.text for d in read_shard(tmp_path / "a.jsonl.zst")] == plain
    for name, content, message in [
        ("b.jsonl.zst", frames[0][:-9], "damaged zstd"),
        ("c.jsonl.zst", b"no zstd at all", "damaged zstd"),
        ("d.jsonl.gz", gzip.compress(raw)[:-9], "damaged gzip"),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=rf"{name}:\d+: {message}"):
            list(read_shard(tmp_path / name))


def test_half_a_surrogate_pair_is_named(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "fine"}\n{"text": "\\ud83d"}\n')
    with pytest.raises(InputError, match=r"a.jsonl:2: holds half a surrogate pair"):
        list(read_shard(tmp_path / "a.jsonl"))


def test_a_path_that_spells_a_url_is_one():
    from pathlib import Path

    assert as_url(Path("s3://bucket/a b/c.jsonl")) == "s3://bucket/a b/c.jsonl"
    assert as_url(Path("http://127.0.0.1:80/x")) == "http://127.0.0.1:80/x"
    assert as_url(Path("/data/x.jsonl")) is None
    assert as_url(Path("C:/x")) is None


@pytest.fixture
def served(documents, tmp_path):
    """A web server on the loopback that serves a folder with the documents."""
    (tmp_path / "documents.jsonl").write_bytes(documents.read_bytes())

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *words):
            super().__init__(*words, directory=str(tmp_path))

        def log_message(self, *_):
            """Stay silent."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_documents_behind_urls_give_the_same_tokens(documents, served, tokens, tokenizer_folder, tmp_path, capsys):
    fsspec.filesystem("memory").pipe("/shelf/documents.jsonl", documents.read_bytes())
    for number, url in enumerate((f"{served}/documents.jsonl", "memory://shelf")):
        words = [f"documents={url}", f"tokenizer={tokenizer_folder}", "validation_share=0.1", "workers=1"]
        assert main(["tokenize", *words, f"output={tmp_path / str(number)}"]) == 0
        ours = IndexedDataset(tmp_path / str(number) / "train")
        assert ours.tokens.tolist() == IndexedDataset(tokens / "train").tokens.tolist()
    assert main(["tokenize", f"documents={served}/absent.jsonl", *words[1:], f"output={tmp_path / 'x'}"]) == 2
    assert "absent.jsonl: no such file or folder" in capsys.readouterr().err
    assert main(["tokenize", "documents=gopher://x/y.jsonl", *words[1:], f"output={tmp_path / 'x'}"]) == 2
    assert "gopher" in capsys.readouterr().err


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(text=NASTY)
def test_ids_are_those_of_transformers(hugging_face_tokenizer, text):
    ours, theirs = hugging_face_tokenizer
    assert ours.encode(text) == theirs(text, add_special_tokens=False)["input_ids"]


@pytest.fixture(scope="module")
def hugging_face_tokenizer(tokenizer_folder):
    from transformers import AutoTokenizer

    return load_tokenizer(tokenizer_folder), AutoTokenizer.from_pretrained(tokenizer_folder)
