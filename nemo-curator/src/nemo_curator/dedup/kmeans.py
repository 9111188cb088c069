"""k-means over unit vectors, in blocks of rows."""

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
ROWS = 4096


def nearest(vectors: Vectors, centroids: Vectors) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The nearest centroid of each unit vector (Euclidean; the lowest of equals), and the cosine similarity to it."""
    found, similarity = np.empty(len(vectors), np.int64), np.empty(len(vectors))
    norms = (centroids.astype(np.float64) ** 2).sum(axis=1)
    for first in range(0, len(vectors), ROWS):
        some = vectors[first : first + ROWS]
        products = (some @ centroids.T).astype(np.float64)
        picked = (norms - 2 * products).argmin(axis=1)
        found[first : first + len(some)] = picked
        lengths = np.sqrt(np.maximum(norms[picked], 1e-30))
        similarity[first : first + len(some)] = products[np.arange(len(some)), picked] / lengths
    return found, similarity


def fit(vectors: Vectors, *, clusters: int, iterations: int, tolerance: float, seed: int) -> Vectors:
    """Centroids [clusters, width] by Lloyd's iterations from a k-means++ start (Arthur, Vassilvitskii 2007).

    A centroid that loses all its vectors goes to the one that is furthest from its own.
    """
    random = np.random.default_rng(seed)
    centroids = spread(vectors, clusters, random)
    for _ in range(iterations):
        labels, similarity = nearest(vectors, centroids)
        moved = means(vectors, labels, clusters)
        empty = np.flatnonzero(np.bincount(labels, minlength=clusters) == 0)
        moved[empty] = vectors[np.argsort(similarity, kind="stable")[: len(empty)]]
        shift = float(np.sqrt(((moved - centroids) ** 2).sum(axis=1)).max())
        centroids = moved
        if shift <= tolerance:
            break
    return centroids


def spread(vectors: Vectors, clusters: int, random: np.random.Generator) -> Vectors:
    """Vectors drawn one after another with chances that grow with the squared distance to those drawn."""
    chosen = [int(random.integers(len(vectors)))]
    distances = np.full(len(vectors), np.inf)
    for _ in range(clusters - 1):
        gaps = ((vectors - vectors[chosen[-1]]).astype(np.float64) ** 2).sum(axis=1)
        distances = np.minimum(distances, gaps)
        total = distances.sum()
        draw = random.random() * total
        picked = int(np.searchsorted(np.cumsum(distances), draw)) if total > 0 else int(random.integers(len(vectors)))
        chosen.append(min(picked, len(vectors) - 1))
    return vectors[chosen].copy()


def means(vectors: Vectors, labels: npt.NDArray[np.int64], clusters: int) -> Vectors:
    """The mean of each cluster's vectors."""
    order = np.argsort(labels, kind="stable")
    counts = np.bincount(labels, minlength=clusters)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    filled = counts > 0
    sums = np.zeros((clusters, vectors.shape[1]))
    sums[filled] = np.add.reduceat(vectors[order].astype(np.float64), starts[filled], axis=0)
    return (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)
