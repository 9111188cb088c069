"""Documents become token files that Megatron reads, the same however often the work was interrupted."""

import json
import struct

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nemo_core.cli import main
from nemo_core.data import tokenize
from nemo_core.data.indexed import IndexedDataset, token_dtype, write_index
from nemo_core.foundation.errors import InputError
from nemo_core.tokenizer.load import load_tokenizer


def write_dataset(prefix, sequences, dtype):
    lengths = np.array([len(s) for s in sequences], dtype=np.int32)
    prefix.with_suffix(".bin").write_bytes(np.concatenate([np.array(s, dtype=dtype) for s in sequences]).tobytes())
    write_index(prefix, lengths, np.dtype(dtype))


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_index_is_the_documented_bytes(tmp_path):
    write_dataset(tmp_path / "a", [[1, 2, 3], [4]], np.uint16)
    expected = b"MMIDIDX\x00\x00" + struct.pack("<QBQQ2i2q3q", 1, 8, 2, 3, 3, 1, 0, 6, 0, 1, 2)
    assert (tmp_path / "a.idx").read_bytes() == expected
    assert (tmp_path / "a.bin").read_bytes() == struct.pack("<4H", 1, 2, 3, 4)


def test_what_is_written_is_read(tmp_path):
    draw = np.random.default_rng(0)
    sequences = [draw.integers(0, 70_000, size=n).tolist() for n in (5, 1, 17)]
    write_dataset(tmp_path / "a", sequences, np.int32)
    dataset = IndexedDataset(tmp_path / "a")
    assert [dataset[n].tolist() for n in range(len(dataset))] == sequences
    assert dataset.tokens.tolist() == [token for sequence in sequences for token in sequence]
    with pytest.raises(IndexError, match="sequence 3 of 3"):
        dataset[3]


def test_the_width_of_a_token_is_megatrons_choice():
    assert token_dtype(65_499) == np.uint16
    assert token_dtype(65_500) == np.int32


@pytest.mark.slow
def test_megatron_writes_the_same_bytes_and_reads_ours(tokens, tmp_path):
    megatron = pytest.importorskip("megatron.core.datasets.indexed_dataset", reason="megatron-core is not installed")
    ours = IndexedDataset(tokens / "train")
    builder = megatron.IndexedDatasetBuilder(str(tmp_path / "theirs.bin"), dtype=ours.dtype.type)
    import torch

    for number in range(len(ours)):
        builder.add_item(torch.from_numpy(ours[number].astype(np.int64)))
        builder.end_document()
    builder.finalize(str(tmp_path / "theirs.idx"))
    for suffix in (".bin", ".idx"):
        assert (tmp_path / f"theirs{suffix}").read_bytes() == (tokens / f"train{suffix}").read_bytes()
    read_by_them = megatron.IndexedDataset(str(tokens / "train"))
    assert [read_by_them[n].tolist() for n in range(len(ours))] == [ours[n].tolist() for n in range(len(ours))]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: p.with_suffix(".idx").write_bytes(b"something else"), "not a Megatron index"),
        (lambda p: p.with_suffix(".idx").write_bytes(p.with_suffix(".idx").read_bytes()[:-1]), "cut short"),
        (lambda p: p.with_suffix(".bin").write_bytes(b"12"), "2 bytes, but its index says 8"),
        (lambda p: p.with_suffix(".bin").unlink(), "a.bin: no such file"),
    ],
)
def test_a_damaged_dataset_is_named(tmp_path, damage, message):
    write_dataset(tmp_path / "a", [[1, 2, 3], [4]], np.uint16)
    damage(tmp_path / "a")
    with pytest.raises(InputError, match=message):
        IndexedDataset(tmp_path / "a")


def test_every_document_is_kept_in_order_and_ends_with_the_separator(tokens, documents):
    tokenizer = load_tokenizer(tokens / "tokenizer")
    held, learnt = IndexedDataset(tokens / "validation"), IndexedDataset(tokens / "train")
    texts = [tokenizer.decode(d[n].tolist(), skip_special=False) for d in (learnt, held) for n in range(len(d))]
    assert all(text.endswith("<|endoftext|>") for text in texts)
    assert sorted(t.removesuffix("<|endoftext|>") for t in texts) == sorted(r["text"] for r in rows(documents))
    stats = json.loads((tokens / "manifest.json").read_text())["stats"]
    assert stats["train_documents"] + stats["validation_documents"] == 60
    assert stats["train_tokens"] == len(learnt.tokens)


def test_a_document_stays_in_its_split_when_others_come_or_go(tmp_path, documents, tokenizer_folder, tokens):
    kept = rows(documents)[::2]
    (tmp_path / "half.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
    words = [f"documents={tmp_path / 'half.jsonl'}", f"tokenizer={tokenizer_folder}", "validation_share=0.1"]
    assert main(["tokenize", *words, f"output={tmp_path / 'half'}"]) == 0
    half, whole = IndexedDataset(tmp_path / "half/validation"), IndexedDataset(tokens / "validation")
    everything = [whole[n].tolist() for n in range(len(whole))]
    assert all(half[n].tolist() in everything for n in range(len(half)))


def test_parquet_and_jsonl_give_the_same_tokens(tmp_path, documents, tokenizer_folder, tokens):
    table = pa.table({key: [row[key] for row in rows(documents)] for key in ("id", "text")})
    pq.write_table(table, tmp_path / "documents.parquet")
    words = [f"documents={tmp_path}", f"tokenizer={tokenizer_folder}", "validation_share=0.1"]
    assert main(["tokenize", *words, f"output={tmp_path / 'tokens'}"]) == 0
    assert (tmp_path / "tokens/train.bin").read_bytes() == (tokens / "train.bin").read_bytes()


def test_special_tokens_written_in_a_document_stay_text(tmp_path, tokenizer_folder):
    (tmp_path / "d.jsonl").write_text('{"text": "a <|endoftext|> b"}\n{"text": "c"}\n')
    words = [f"documents={tmp_path / 'd.jsonl'}", f"tokenizer={tokenizer_folder}", "validation_share=0"]
    assert main(["tokenize", *words, f"output={tmp_path / 'tokens'}"]) == 0
    assert IndexedDataset(tmp_path / "tokens/train").tokens.tolist().count(0) == 2
    assert not (tmp_path / "tokens/validation.idx").exists()


def test_a_small_collection_still_holds_one_document_out(tmp_path, tokenizer_folder):
    (tmp_path / "d.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n{"text": "three"}\n')
    words = [f"documents={tmp_path / 'd.jsonl'}", f"tokenizer={tokenizer_folder}", "validation_share=0.0001"]
    assert main(["tokenize", *words, f"output={tmp_path / 'tokens'}"]) == 0
    assert len(IndexedDataset(tmp_path / "tokens/validation")) == 1
    assert len(IndexedDataset(tmp_path / "tokens/train")) == 2


def test_interrupted_work_ends_with_the_same_bytes(tmp_path, documents, tokenizer_folder, monkeypatch):
    lines = documents.read_text().splitlines(keepends=True)
    for part in range(4):
        (tmp_path / "shards").mkdir(exist_ok=True)
        (tmp_path / f"shards/{part}.jsonl").write_text("".join(lines[part * 15 : part * 15 + 15]))
    words = [f"documents={tmp_path / 'shards'}", f"tokenizer={tokenizer_folder}", "batch_bytes=1000"]
    assert main(["tokenize", *words, f"output={tmp_path / 'whole'}"]) == 0
    append = tokenize.append

    def fail_after(count):
        calls = iter(range(count))

        def write(path, values):
            append(path, values)
            if next(calls, None) is None:
                raise KeyboardInterrupt

        return write

    for count in (3, 30):
        monkeypatch.setattr(tokenize, "append", fail_after(count))
        assert main(["tokenize", *words, f"output={tmp_path / 'broken'}"]) == 130
    monkeypatch.setattr(tokenize, "append", append)
    assert main(["tokenize", *words, f"output={tmp_path / 'broken'}"]) == 0
    digests = [json.loads((tmp_path / n / "manifest.json").read_text())["digest"] for n in ("whole", "broken")]
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": ""}\n', "no document to train on (1 empty, 0 held out)"),
        ("", "no document to train on (0 empty, 0 held out)"),
        ('{"title": "x"}\n', "documents.jsonl:1: no text under 'text' (keys: title)"),
    ],
)
def test_documents_without_text_are_named(tmp_path, capsys, tokenizer_folder, content, message):
    (tmp_path / "documents.jsonl").write_text(content)
    words = [f"documents={tmp_path / 'documents.jsonl'}", f"tokenizer={tokenizer_folder}"]
    assert main(["tokenize", *words, f"output={tmp_path / 'tokens'}"]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "tokens").exists()


def test_a_folder_without_tokenizer_and_an_output_that_exists_are_named(tmp_path, capsys, documents, tokens):
    assert main(["tokenize", f"documents={documents}", f"tokenizer={tmp_path}", f"output={tmp_path / 'x'}"]) == 2
    assert f"{tmp_path / 'tokenizer.json'}: no such file" in capsys.readouterr().err
    words = [f"documents={documents}", f"tokenizer={tokens / 'tokenizer'}", f"output={tokens}"]
    assert main(["tokenize", *words]) == 2
    assert "exists already" in capsys.readouterr().err
