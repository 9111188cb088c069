"""RAPIDS behind four functions, as published for releases 25.04 to 26.10: the only module that imports it.

Signatures are bit for bit those of the CPU kernels, components get the lowest number as label as there, and so both
engines drop the same documents. K-means finds other centroids than the CPU's.
"""

from collections.abc import Iterable
from typing import Any

import cudf
import cupy
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pylibcugraph
from cupyx.scipy import sparse

COLUMN_LIMIT = (1 << 31) - 1
EMPTY = 0xFFFFFFFF


def minhash(
    text: pa.Array | pa.ChunkedArray, *, a: npt.NDArray[np.uint32], b: npt.NDArray[np.uint32], width: int
) -> npt.NDArray[np.uint32]:
    """Signatures [documents, permutations]; texts without a character get all ones, as the CPU kernels have it."""
    text = pc.fill_null(text, "")
    rows = max(1, COLUMN_LIMIT // len(a))
    parts = [minhash_some(text.slice(at, rows), a=a, b=b, width=width) for at in range(0, len(text), rows)]
    found = np.concatenate(parts) if parts else np.zeros((0, len(a)), np.uint32)
    lengths = pc.binary_length(text)
    lengths = lengths.combine_chunks() if isinstance(lengths, pa.ChunkedArray) else lengths
    found[lengths.to_numpy(zero_copy_only=False) == 0] = EMPTY
    return found


def minhash_some(text: Any, *, a: npt.NDArray[np.uint32], b: npt.NDArray[np.uint32], width: int) -> Any:
    """Signatures of as many texts as fit into one column of the GPU."""
    series = cudf.Series(text.combine_chunks() if isinstance(text, pa.ChunkedArray) else text)
    hashes = series.str.minhash(int(a[0]), a=cudf.Series(a), b=cudf.Series(b), width=width)
    return cupy.asnumpy(hashes.list.leaves.values).astype(np.uint32).reshape(-1, len(a))


def label(num_documents: int, bands: Iterable[tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]]) -> Any:
    """The lowest document linked to each one by equal keys in some band, or part of one."""
    sources, targets = [], []
    for keys, members in bands:
        frame = cudf.DataFrame({"key": keys, "member": members}).sort_values(["key", "member"])
        key, member = frame["key"].values, frame["member"].values
        same = cupy.flatnonzero(key[1:] == key[:-1])
        sources.append(member[same])
        targets.append(member[same + 1])
    if not sources or not sum(len(each) for each in sources):
        return np.arange(num_documents)
    return cupy.asnumpy(components(num_documents, cupy.concatenate(sources), cupy.concatenate(targets)))


def components(num_documents: int, sources: Any, targets: Any) -> Any:
    """The lowest member of the weakly connected component of every document."""
    ends = (cupy.concatenate([sources, targets]), cupy.concatenate([targets, sources]))
    links = cupy.ones(len(ends[0]), dtype=cupy.float32)
    graph = sparse.coo_matrix((links, ends), shape=(num_documents, num_documents)).tocsr()
    vertices, labels = pylibcugraph.weakly_connected_components(
        resource_handle=pylibcugraph.ResourceHandle(),
        graph=None,
        offsets=graph.indptr.astype(cupy.int32),
        indices=graph.indices.astype(cupy.int32),
        weights=None,
        labels=None,
        do_expensive_check=False,
    )
    lowest = cudf.DataFrame({"vertex": vertices, "label": labels}).groupby("label")["vertex"].transform("min")
    found = cupy.arange(num_documents)
    found[cupy.asarray(vertices)] = lowest.values
    return found


def kmeans(
    vectors: npt.NDArray[np.float32], *, clusters: int, iterations: int, tolerance: float, seed: int
) -> npt.NDArray[np.float32]:
    """Centroids [clusters, width] of unit vectors."""
    from cuml.cluster import KMeans

    model = KMeans(
        n_clusters=clusters, max_iter=iterations, tol=tolerance, random_state=seed, init="k-means||", n_init=1
    )
    model.fit(cupy.asarray(vectors))
    return np.asarray(cupy.asnumpy(cupy.asarray(model.cluster_centers_)), dtype=np.float32)
