"""What a peer takes for duplicates: ``peer_duplicates.py datatrove|datasketch|rensa|text-dedup|datatrove-sentences``.

Reads {"text": …} lines from standard input; writes one JSON list: the number of each document's group, or the text that
is left of each.
"""

import json
import re
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

BANDS, ROWS = 14, 8
WORDS = re.compile(r"\w+")
Groups = list[int]


def shingles(text: str, width: int = 5) -> set[str]:
    """Runs of five words in lower case, which libraries without a recipe of their own are given."""
    words = WORDS.findall(text.lower())
    return {" ".join(words[at : at + width]) for at in range(max(1, len(words) - width + 1))}


def united(pairs: Iterable[tuple[int, int]], number: int) -> Groups:
    """The first member of the component of each document."""
    parents = list(range(number))

    def root(at: int) -> int:
        while parents[at] != at:
            parents[at] = parents[parents[at]]
            at = parents[at]
        return at

    for one, other in pairs:
        low, high = sorted((root(one), root(other)))
        parents[high] = low
    return [root(at) for at in range(number)]


def datatrove(texts: list[str]) -> Groups:
    """Its pipeline of four stages on one worker, with its defaults (5 words, 14 buckets of 8)."""
    from datatrove.data import Document
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )

    with tempfile.TemporaryDirectory() as folder:
        documents = [Document(text=text, id=str(number)) for number, text in enumerate(texts)]
        for _ in MinhashDedupSignature(f"{folder}/signatures").run(iter(documents)) or ():
            pass
        for bucket in range(BANDS):
            MinhashDedupBuckets(f"{folder}/signatures", f"{folder}/buckets").run(None, bucket, BANDS)
        MinhashDedupCluster(f"{folder}/buckets", f"{folder}/clusters", save_cluster_id=True).run()
        for _ in MinhashDedupFilter(f"{folder}/clusters", load_cluster_ids=True).run(iter(documents)):
            pass
    clusters = [each.metadata.get("minhash_cluster_id", -1) for each in documents]
    first: dict[int, int] = {}
    return [first.setdefault(each, at) if each >= 0 else at for at, each in enumerate(clusters)]


def datasketch(texts: list[str]) -> Groups:
    """Its index at a threshold of 0.8 with 128 permutations."""
    from datasketch import MinHash, MinHashLSH

    index, pairs = MinHashLSH(threshold=0.8, num_perm=128), []
    for number, text in enumerate(texts):
        signature = MinHash(num_perm=128)
        signature.update_batch([each.encode() for each in shingles(text)])
        pairs += [(number, found) for found in index.query(signature)]
        index.insert(number, signature)
    return united(pairs, len(texts))


def rensa(texts: list[str]) -> Groups:
    """Its index at a threshold of 0.8, 14 bands, with 112 permutations."""
    from rensa import RMinHash, RMinHashLSH

    index, pairs = RMinHashLSH(threshold=0.8, num_perm=BANDS * ROWS, num_bands=BANDS), []
    for number, text in enumerate(texts):
        signature = RMinHash(num_perm=BANDS * ROWS, seed=42)
        signature.update(sorted(shingles(text)))
        pairs += [(number, found) for found in index.query(signature)]
        index.insert(number, signature)
    return united(pairs, len(texts))


def text_dedup(texts: list[str]) -> Groups:
    """Its signatures of 5 words with 256 permutations, in the bands that it chooses for 0.7, its default."""
    import numpy as np
    from text_dedup.minhash import SIGNATURE_COLUMN, embed_func
    from text_dedup.utils import optimal_param, sha1_hash

    bands, rows = optimal_param(0.7, 256, false_positive_weight=0.5, false_negative_weight=0.5)
    draw, prime = np.random.RandomState(42), np.uint64((1 << 61) - 1)
    permutations = (
        draw.randint(1, prime, size=256, dtype=np.uint64),
        draw.randint(0, prime, size=256, dtype=np.uint64),
    )
    tables: list[dict[bytes, list[int]]] = [defaultdict(list) for _ in range(bands)]
    for number, text in enumerate(texts):
        signature = embed_func(
            text,
            number,
            num_perm=256,
            ngram_size=5,
            min_length=5,
            hashranges=[(at * rows, (at + 1) * rows) for at in range(bands)],
            permutations=permutations,
            hash_func=lambda data: sha1_hash(data, d=64),
            dtype=np.uint64,
            max_hash=np.uint64((1 << 32) - 1),
            modulo_prime=prime,
        )[SIGNATURE_COLUMN]
        for table, key in zip(tables, signature, strict=True):
            table[key].append(number)
    return united(((group[0], each) for table in tables for group in table.values() for each in group), len(texts))


def datatrove_sentences(texts: list[str]) -> list[str]:
    """What its deduplication of three sentences leaves of each text."""
    from datatrove.data import Document
    from datatrove.pipeline.dedup import (
        SentDedupConfig,
        SentenceDedupFilter,
        SentenceDedupSignature,
        SentenceFindDedups,
    )

    config = SentDedupConfig(n_sentences=3, min_doc_words=0)
    with tempfile.TemporaryDirectory() as folder:
        documents = [Document(text=text, id=str(number)) for number, text in enumerate(texts)]
        for _ in SentenceDedupSignature(f"{folder}/signatures", config=config).run(iter(documents)) or ():
            pass
        SentenceFindDedups(f"{folder}/signatures", f"{folder}/found", config=config).run()
        left = {
            each.id: each.text for each in SentenceDedupFilter(f"{folder}/found", config=config).run(iter(documents))
        }
    return [left.get(str(number), "") for number in range(len(texts))]


PEERS: dict[str, Callable[[list[str]], Any]] = {
    "datatrove": datatrove,
    "datasketch": datasketch,
    "rensa": rensa,
    "text-dedup": text_dedup,
    "datatrove-sentences": datatrove_sentences,
}


def main(peer: str) -> None:
    """Answer."""
    texts = [json.loads(line)["text"] for line in sys.stdin]
    begun = time.process_time()
    answer = PEERS[peer](texts)
    print(json.dumps({"answer": answer, "cpu_s": time.process_time() - begun}))


if __name__ == "__main__":
    main(*sys.argv[1:])
