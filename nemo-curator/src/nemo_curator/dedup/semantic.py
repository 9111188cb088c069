"""Documents whose embeddings nearly point the same way, found within clusters.

Embeddings are clustered by k-means; within a cluster documents are put in order by their distance to the centroid,
and one is dropped where its cosine similarity to an earlier one is 1 - eps or more. Vectors of a cluster lie end to
end in one file and are compared tile by tile, so that memory holds two tiles, however large a cluster is.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..foundation.atomic import atomic_file
from ..foundation.errors import ConfigError
from ..kernels.words import mixed
from .components import Labels, flatten, join, singletons
from .keys import Keys, KeyTable, open_file
from .kmeans import fit, nearest
from .semantic_settings import SemanticDedup

if TYPE_CHECKING:
    from ..shards.compare import Comparison

Vectors = npt.NDArray[np.float32]
TILE = 1024
CENTROIDS, NEAREST, SORTED = "centroids.npy", "nearest.npy", "sorted.f32"


def keyer(settings: SemanticDedup) -> Callable[[pa.Table], Keys]:
    """The function from a batch to its unit embeddings, two numbers to a key [(width + 1) / 2, documents]."""
    from ..backends import embedder

    model = embedder("torch").load(settings.model, settings.device, settings.max_tokens)

    def keys(documents: pa.Table) -> Keys:
        vectors = model.embed(documents["text"].to_pylist(), batch_size=settings.batch_size)
        padded = np.zeros((len(vectors), (settings.width + 1) // 2 * 2), np.float32)
        padded[:, : settings.width] = vectors
        return padded.view(np.uint64).T

    return keys


def vectors_of(path: Path, width: int) -> Vectors:
    """The embeddings of a shard [documents, width]."""
    keys = np.ascontiguousarray(open_file(path)[: (width + 1) // 2].T)
    return keys.view(np.float32)[:, :width]


def decide(settings: SemanticDedup, comparison: "Comparison") -> tuple[Labels, Labels]:
    """For each document the first of its group, and the one of the group that stays."""
    table = comparison.table()
    if settings.clusters > table.num_documents:
        raise ConfigError(
            f"clusters={settings.clusters} for {table.num_documents} documents; use fewer, the square root perhaps"
        )
    path = comparison.layout.beside(0, comparison.segment, CENTROIDS)
    with atomic_file(path) as handle:
        np.save(handle, centroids(settings, comparison, table), allow_pickle=False)
    comparison.each_shard("nemo_curator.dedup.semantic:assign")
    order, clusters = arranged(settings, comparison, table)
    vectors = lay_out(settings, comparison, table, order)
    linked = np.arange(table.num_documents)
    for first, last in runs(clusters):
        found = earlier(vectors[first:last], least=1.0 - settings.eps)
        some = np.flatnonzero(found >= 0)
        linked[order[first + some]] = order[first + found[some]]
    return grouped(linked)


def centroids(settings: SemanticDedup, comparison: "Comparison", table: KeyTable) -> Vectors:
    """Centroids fitted to evenly spaced documents."""
    step = max(1, -(-table.num_documents // settings.sample))
    layout, segment = comparison.layout, comparison.segment
    parts = []
    for shard, start in enumerate(table.starts[:-1]):
        parts.append(vectors_of(layout.keys(shard, segment), settings.width)[-start % step :: step])
    sample = np.concatenate(parts)
    if settings.clusters > len(sample):
        raise ConfigError(f"clusters={settings.clusters} is more than the sample={len(sample)} they are fitted to")
    if settings.backend == "cudf":
        from ..backends import frames

        backend: Any = frames("cudf")
        return np.asarray(
            backend.kmeans(
                sample,
                clusters=settings.clusters,
                iterations=settings.iterations,
                tolerance=settings.tolerance,
                seed=settings.seed,
            )
        )
    return fit(
        sample,
        clusters=settings.clusters,
        iterations=settings.iterations,
        tolerance=settings.tolerance,
        seed=settings.seed,
    )


def assign(*, root: str, segment: int, shard: int) -> int:
    """Write the nearest centroid of each of a shard's documents and the similarity to it; how many there are."""
    from ..shards import plan as plans
    from ..shards.layout import Layout

    layout = Layout(Path(root))
    step = plans.load(layout.work).pipeline.segments()[segment].together
    assert step is not None
    settings: Any = step.settings
    middle = np.load(layout.beside(0, segment, CENTROIDS), allow_pickle=False)
    clusters, similarities = nearest(vectors_of(layout.keys(shard, segment), settings.width), middle)
    with atomic_file(layout.beside(shard, segment, NEAREST)) as handle:
        np.save(handle, np.stack([clusters.astype(np.float64), similarities]), allow_pickle=False)
    return len(clusters)


def arranged(
    settings: SemanticDedup, comparison: "Comparison", table: KeyTable
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Documents in the order they are compared in, cluster by cluster, and the cluster of each."""
    layout, segment = comparison.layout, comparison.segment
    files = [layout.beside(shard, segment, NEAREST) for shard in range(comparison.shards)]
    clusters, similarities = np.hstack([np.load(file, allow_pickle=False) for file in files])
    if settings.which == "hard":
        key = similarities
    elif settings.which == "easy":
        key = -similarities
    else:
        numbers = np.arange(table.num_documents, dtype=np.uint64)
        key = mixed(numbers ^ np.uint64(settings.seed)).astype(np.float64)
    order = np.lexsort((key, clusters))
    return order, clusters[order].astype(np.int64)


def lay_out(
    settings: SemanticDedup, comparison: "Comparison", table: KeyTable, order: npt.NDArray[np.int64]
) -> Vectors:
    """A file of all vectors in `order`, mapped into memory."""
    layout, segment = comparison.layout, comparison.segment
    path = layout.beside(0, segment, SORTED)
    vectors = np.memmap(path, np.float32, "w+", shape=(table.num_documents, settings.width))
    position = position_of(order)
    for shard, (start, end) in enumerate(zip(table.starts[:-1], table.starts[1:], strict=True)):
        vectors[position[start:end]] = vectors_of(layout.keys(shard, segment), settings.width)
    vectors.flush()
    return vectors


def position_of(order: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Where each document stands in `order`."""
    position = np.empty(len(order), np.int64)
    position[order] = np.arange(len(order))
    return position


def runs(values: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """First and end of every run of equal values."""
    edges = np.flatnonzero(np.diff(values)) + 1
    bounds = [0, *edges.tolist(), len(values)]
    return pairwise(bounds)


def earlier(vectors: Vectors, *, least: float) -> npt.NDArray[np.int64]:
    """For each vector the most similar one before it, -1 where none is as similar as `least`."""
    found = np.full(len(vectors), -1)
    for first in range(0, len(vectors), TILE):
        some = np.asarray(vectors[first : first + TILE])
        best = np.full(len(some), -np.inf, np.float32)
        for before in range(0, first + 1, TILE):
            similarity = some @ np.asarray(vectors[before : before + TILE]).T
            if before == first:
                similarity[np.triu_indices(len(some))] = -np.inf
            top = similarity.argmax(axis=1)
            value = similarity[np.arange(len(some)), top]
            better = value > best
            best[better] = value[better]
            found[first : first + len(some)][better] = before + top[better]
        found[first : first + len(some)][best < least] = -1
    return found


def grouped(linked: npt.NDArray[np.int64]) -> tuple[Labels, Labels]:
    """Groups of documents linked to an earlier one, by their lowest number; and the one that has no link itself."""
    parents = singletons(len(linked))
    for document in np.flatnonzero(linked != np.arange(len(linked))).tolist():
        join(parents, document, int(linked[document]))
    flatten(parents)
    stays = np.flatnonzero(linked == np.arange(len(linked)))
    survivor = np.empty_like(parents)
    survivor[parents[stays]] = stays
    return parents, survivor[parents]
