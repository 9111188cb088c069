"""The RAPIDS adapter: equal to the CPU on a GPU, and calling what RAPIDS publishes where there is none.

On a CPU stand-ins take the place of the libraries. They accept the published arguments alone and compute the
documented results with numpy and scipy; labels of components are arbitrary, as they are documented to be.
"""

import importlib
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse
from scipy.sparse.csgraph import connected_components

from nemo_curator.dedup.components import label
from nemo_curator.dedup.fuzzy import signature
from nemo_curator.dedup.lsh import permutations
from nemo_curator.dedup.settings import FuzzyDedup
from nemo_curator.foundation.errors import ConfigError
from nemo_curator.kernels.minhash import signatures
from nemo_curator.kernels.strings import buffers
from nemo_curator.pipeline import Pipeline

TEXTS = ["this is my favorite book, and nobody's else", "", "short", "äöü and € signs, well over the width", None]


class Series:
    def __init__(self, data):
        self.data = data
        self.str = self
        self.list = SimpleNamespace(leaves=SimpleNamespace(values=data))

    def minhash(self, seed: int, a: "Series", b: "Series", width: int) -> "Series":
        assert isinstance(seed, int)
        assert a.data.dtype == b.data.dtype == np.uint32
        data, offsets = buffers(self.data)
        found = signatures(data, offsets, a.data, b.data, width, np.uint32(seed))
        found[np.diff(offsets) == 0] = 0  # what older releases of libcudf answer for an empty string
        return Series(found.reshape(-1))

    @property
    def values(self):
        return self.data


class DataFrame(dict):
    def __getitem__(self, name):
        return Series(np.asarray(super().__getitem__(name)))

    def sort_values(self, by):
        order = np.lexsort([np.asarray(dict.__getitem__(self, name)) for name in reversed(by)])
        return DataFrame({name: np.asarray(values)[order] for name, values in self.items()})

    def groupby(self, by):
        return Grouped(self, by, "")


class Grouped:
    def __init__(self, frame, by, column):
        self.frame, self.by, self.column = frame, by, column

    def __getitem__(self, column):
        return Grouped(self.frame, self.by, column)

    def transform(self, name):
        assert name == "min"
        groups, values = self.frame[self.by].data, self.frame[self.column].data
        return Series(np.array([values[groups == group].min() for group in groups]))


def weakly_connected_components(resource_handle, graph, offsets, indices, weights, labels, do_expensive_check):
    assert (graph, weights, labels) == (None, None, None)
    assert offsets.dtype == indices.dtype == np.int32
    size = len(offsets) - 1
    matrix = scipy.sparse.csr_matrix((np.ones(len(indices)), indices, offsets), shape=(size, size))
    found = connected_components(matrix, directed=False)[1]
    order = np.random.default_rng(0).permutation(size)
    return order, (found.max() + 7 - found)[order]


class KMeans:
    def __init__(self, *, n_clusters, max_iter, tol, random_state, init, n_init):
        assert init == "k-means||"
        self.clusters = n_clusters

    def fit(self, vectors):
        self.cluster_centers_ = vectors[: self.clusters]


@pytest.fixture
def adapter(monkeypatch):
    """The adapter over the real libraries where they are, else over the stand-ins."""
    cupy = ModuleType("cupy")
    cupy.__dict__.update({name: getattr(np, name) for name in ("flatnonzero", "concatenate", "ones", "arange")})
    cupy.__dict__.update(float32=np.float32, int32=np.int32, asarray=np.asarray, asnumpy=np.asarray)
    cudf, plc, cupyx = ModuleType("cudf"), ModuleType("pylibcugraph"), ModuleType("cupyx.scipy")
    cuml = ModuleType("cuml.cluster")
    cudf.Series, cudf.DataFrame, cuml.KMeans = Series, DataFrame, KMeans
    plc.ResourceHandle, plc.weakly_connected_components = object, weakly_connected_components
    cupyx.sparse = scipy.sparse
    stand_ins = {"cupy": cupy, "cudf": cudf, "pylibcugraph": plc, "cupyx.scipy": cupyx, "cuml.cluster": cuml}
    for name, module in stand_ins.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "nemo_curator.backends.cudf", raising=False)
    yield importlib.import_module("nemo_curator.backends.cudf")
    sys.modules.pop("nemo_curator.backends.cudf", None)


def random_bands(seed: int):
    random = np.random.default_rng(seed)
    for _ in range(3):
        yield random.integers(0, 60, 80).astype(np.uint64), np.arange(80)


def test_signatures_of_the_adapter_are_those_of_the_cpu(adapter):
    column = pa.chunked_array([TEXTS[:2], TEXTS[2:]])
    settings = FuzzyDedup()
    a, b = permutations(count=260, seed=42)
    assert (adapter.minhash(column, a=a, b=b, width=24) == signature(column, settings)).all()
    assert (signature(column, FuzzyDedup(backend="cudf")) == signature(column, settings)).all()


def test_texts_are_hashed_in_columns_that_a_gpu_can_hold(adapter, monkeypatch):
    monkeypatch.setattr(adapter, "COLUMN_LIMIT", 520)
    a, b = permutations(count=260, seed=42)
    assert (adapter.minhash(pa.array(TEXTS), a=a, b=b, width=24) == signature(pa.array(TEXTS), FuzzyDedup())).all()


@pytest.mark.parametrize("seed", range(4))
def test_components_of_the_adapter_are_those_of_the_cpu(adapter, seed):
    assert adapter.label(80, random_bands(seed)).tolist() == label(80, random_bands(seed)).tolist()
    assert adapter.label(5, []).tolist() == [0, 1, 2, 3, 4]


def test_k_means_is_called_as_published(adapter):
    vectors = np.eye(4, dtype=np.float32)
    assert adapter.kmeans(vectors, clusters=2, iterations=3, tolerance=0.1, seed=0).tolist() == vectors[:2].tolist()


def test_cudf_refuses_what_it_does_not_compute():
    with pytest.raises(ConfigError, match="backend=cudf computes mode=exact with shingle=characters only"):
        Pipeline.parse([{"fuzzy_dedup": {"backend": "cudf", "mode": "fast"}}])


@pytest.mark.gpu
def test_a_gpu_answers_as_the_cpu_does():
    pytest.importorskip("cudf", reason="needs a GPU and nemo-curator[cuda12]")
    from nemo_curator.backends import cudf

    a, b = permutations(count=260, seed=42)
    assert (cudf.minhash(pa.array(TEXTS), a=a, b=b, width=24) == signature(pa.array(TEXTS), FuzzyDedup())).all()
    assert cudf.label(80, random_bands(0)).tolist() == label(80, random_bands(0)).tolist()
