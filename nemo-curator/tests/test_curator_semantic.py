"""Semantic duplicates are those of brute force within each cluster, whatever the tiles."""

import numpy as np
import pytest

from nemo_curator import curate
from nemo_curator.dedup import semantic
from nemo_curator.dedup.kmeans import fit, nearest
from nemo_curator.dedup.semantic import earlier, grouped
from nemo_curator.foundation.errors import ConfigError
from nemo_curator.testing.corpora import prose, read_folder, write_jsonl


def unit_vectors(count: int, width: int = 16, seed: int = 0) -> np.ndarray:
    """Vectors in a dozen bunches, some of them nearly equal."""
    random = np.random.default_rng(seed)
    middles = random.normal(size=(12, width))
    vectors = middles[random.integers(0, 12, count)] + 0.3 * random.normal(size=(count, width))
    copies = random.integers(0, count, count // 4)
    vectors[: len(copies)] = vectors[copies] + 0.002 * random.normal(size=(len(copies), width))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("tile", [1, 7, 64, 1024])
def test_the_most_similar_earlier_vector_is_that_of_brute_force(monkeypatch, tile):
    monkeypatch.setattr(semantic, "TILE", tile)
    vectors = unit_vectors(150)
    similarity = np.tril(vectors @ vectors.T, -1) + np.triu(np.full((150, 150), -2.0))
    wanted = np.where(similarity.max(axis=1) >= 0.99, similarity.argmax(axis=1), -1)
    assert (wanted >= 0).sum() > 20
    assert earlier(vectors, least=0.99).tolist() == wanted.tolist()


def test_k_means_finds_the_bunches_and_is_as_tight_as_scipy():
    from scipy.cluster.vq import kmeans2

    vectors = unit_vectors(600)
    labels, similarity = nearest(vectors, fit(vectors, clusters=12, iterations=50, tolerance=1e-5, seed=3))
    assert len(set(labels.tolist())) == 12
    spread = [kmeans2(vectors, 12, minit="++", seed=seed) for seed in range(5)]
    inertia = min(((vectors - middles[found]) ** 2).sum() for middles, found in spread)
    middles = np.array([vectors[labels == cluster].mean(0) for cluster in range(12)])
    assert ((vectors - middles[labels]) ** 2).sum() <= 1.1 * inertia
    assert similarity.min() > 0


def test_the_nearest_centroid_is_that_of_brute_force():
    vectors, centroids = unit_vectors(300), unit_vectors(20, seed=5) * 0.7
    distance = ((vectors[:, None].astype(float) - centroids[None]) ** 2).sum(-1)
    assert nearest(vectors, centroids)[0].tolist() == distance.argmin(1).tolist()


def test_groups_follow_links_and_have_one_survivor():
    labels, survivors = grouped(np.array([0, 0, 5, 2, 4, 5]))
    assert labels.tolist() == [0, 0, 2, 2, 4, 2]
    assert survivors.tolist() == [0, 0, 5, 5, 4, 5]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny BERT with random weights and a tokenizer of letters."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("models") / "tiny"
    torch.manual_seed(0)
    vocabulary = {token: i for i, token in enumerate(["[PAD]", "[UNK]", *map(chr, range(33, 127))])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=15 * 2 + 1, num_hidden_layers=1, num_attention_heads=1,
        intermediate_size=32, max_position_embeddings=512, initializer_range=0.5,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    return folder


def test_a_run_drops_documents_that_a_model_finds_alike(tmp_path, model):
    from nemo_curator.backends.torch_embedder import load

    texts = [prose(n) for n in range(20)] + [prose(n) + "." for n in range(10)] + ["x", ""]
    write_jsonl(tmp_path / "in/a.jsonl", [{"text": text or "\u200b"} for text in texts[:16]])
    write_jsonl(tmp_path / "in/b.jsonl", [{"text": text or "\u200b"} for text in texts[16:]])
    step = {"semantic_dedup": {"model": str(model), "clusters": 1, "eps": 0.002, "which": "easy", "groups": True}}
    results = {}
    for name, placed in {"one": {"workers": 1}, "two": {"workers": 2, "shard_bytes": 1}}.items():
        curate(tmp_path / "in", tmp_path / name, pipeline=[step], **placed)
        results[name] = [row["id"] for row in read_folder(tmp_path / name / "data")]
    assert results["one"] == results["two"]
    vectors = load(model, "cpu", 256).embed([text or "\u200b" for text in texts], batch_size=8)
    order = np.argsort(-(vectors @ vectors.mean(0)), kind="stable")
    similarity = np.tril(vectors[order] @ vectors[order].T, -1)
    wanted = sorted(order[similarity.max(axis=1) < 0.998].tolist())
    ids = [f"a.jsonl#{row:08d}" for row in range(16)] + [f"b.jsonl#{row:08d}" for row in range(16)]
    assert 2 < len(wanted) < 25
    assert results["one"] == [ids[i] for i in wanted]
    groups = read_folder(tmp_path / "one/groups")
    assert sum(row["survivor"] for row in groups) == len({row["group"] for row in groups})


def test_mean_pooling_leaves_padding_out(model):
    from nemo_curator.backends.torch_embedder import load

    texts = ["short", "a much longer text, so that the first one is padded"]
    together = load(model, "cpu", 256).embed(texts, batch_size=2)
    alone = np.vstack([load(model, "cpu", 256).embed([text], batch_size=1) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


def test_wrong_models_and_too_many_clusters_are_named(tmp_path, model):
    write_jsonl(tmp_path / "in/a.jsonl", [{"text": prose(1)}])
    with pytest.raises(ConfigError, match=r"clusters=1000 for 1 documents; use fewer"):
        curate(tmp_path / "in", tmp_path / "out", pipeline=[{"semantic_dedup": {"model": str(model)}}], workers=1)
    for config, message in ((None, "holds no config.json; name the folder"), ("{}", "cannot be loaded")):
        if config:
            (tmp_path / "config.json").write_text(config)
        steps = [{"semantic_dedup": {"model": str(tmp_path)}}]
        with pytest.raises(ConfigError, match=message):
            curate(tmp_path / "in", tmp_path / "out", pipeline=steps, workers=1)
