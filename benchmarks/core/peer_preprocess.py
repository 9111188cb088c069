"""The loop of Megatron-LM's preprocess script, written from its documented behaviour, for bench_tokenize.py.

A pool of processes turns lines into lists of ids with the tokenizer that transformers loads; the parent adds each
document to megatron-core's own IndexedDatasetBuilder. Arguments: documents, tokenizer folder, output prefix, number of
processes.
"""

import json
import multiprocessing
import sys

import numpy as np

_tokenizer = []


def load(folder: str) -> None:
    """What each process does first."""
    from transformers import AutoTokenizer

    _tokenizer.append(AutoTokenizer.from_pretrained(folder))


def encode(line: str) -> list[int]:
    """What it does with each line."""
    text = json.loads(line)["text"]
    return [*_tokenizer[0](text)["input_ids"], _tokenizer[0].eos_token_id] if text else []


def main(documents: str, tokenizer: str, prefix: str, workers: str) -> None:
    """Write `prefix`.bin and .idx."""
    from megatron.core.datasets.indexed_dataset import IndexedDatasetBuilder

    builder = IndexedDatasetBuilder(f"{prefix}.bin", dtype=np.uint16)
    with multiprocessing.Pool(int(workers), initializer=load, initargs=(tokenizer,)) as pool, open(documents) as lines:
        for ids in pool.imap(encode, lines, 32):
            builder.add_document(ids, [len(ids)])
    builder.finalize(f"{prefix}.idx")


if __name__ == "__main__":
    main(*sys.argv[1:])
