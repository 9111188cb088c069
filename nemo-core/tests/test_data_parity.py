"""Blends, windows and document borders are those of Megatron's datasets; perplexity is a plain sliding window's."""

import numpy as np
import pytest
import torch

from nemo_core.checkpoint.folder import load_model
from nemo_core.data.blend import blend
from nemo_core.data.windows import Windows, split_documents
from nemo_core.evaluation.windows import SlidingWindows
from nemo_core.train.objective import next_token_loss

from .family_cases import write_case

SIZES = [5, 1, 17, 3, 8, 2, 29, 4, 4, 11]


@pytest.fixture(scope="module")
def megatron():
    """Megatron's own index builders, compiled."""
    pytest.importorskip("megatron.core", reason="megatron-core is missing")
    from megatron.core.datasets import helpers

    return helpers


@pytest.mark.slow
@pytest.mark.parametrize("weights", [[0.3, 0.7], [0.5, 0.25, 0.25], [0.1, 0.2, 0.3, 0.4], [0.9, 0.05, 0.03, 0.02]])
def test_a_blend_draws_as_many_of_each_as_megatrons_and_is_never_further_off(megatron, weights):
    count = 10_000
    theirs, samples = np.zeros(count, np.int16), np.zeros(count, np.int64)
    megatron.build_blending_indices(theirs, samples, np.array(weights), len(weights), count, False)
    found = blend({str(number): weight for number, weight in enumerate(weights)})
    ours = np.array([found.locate(place)[0] for place in range(count)])

    def furthest(numbers):
        drawn = np.stack([np.cumsum(numbers == number) for number in range(len(weights))])
        return np.abs(drawn - np.outer(weights, np.arange(1, count + 1))).max()

    assert np.bincount(ours).tolist() == np.bincount(theirs).tolist()
    assert furthest(ours) < 1


@pytest.mark.slow
@pytest.mark.parametrize("length", [1, 4, 7, 16, 83])
def test_windows_are_megatrons_samples_of_documents_in_their_order(megatron, length):
    """Its sample index says in which document, and where in it, each sample begins."""
    tokens = np.arange(sum(SIZES), dtype=np.int32)
    starts = np.cumsum([0, *SIZES])
    order = np.arange(len(SIZES), dtype=np.int32)
    index = megatron.build_sample_idx(np.array(SIZES, np.int32), order, length, 1, len(tokens))
    windows = Windows(tokens, length)
    assert windows.num_whole == len(index) - 1
    for number, (document, offset) in enumerate(index[:-1]):
        first = starts[document] + offset
        ids, targets = windows.row(number)
        assert ids.tolist() == tokens[first : first + length].tolist()
        assert targets.tolist() == tokens[first + 1 : first + length + 1].tolist()


@pytest.mark.slow
def test_documents_in_a_window_are_parted_as_megatron_does_with_resets():
    pytest.importorskip("megatron.core", reason="megatron-core is missing")
    from megatron.core.datasets.gpt_dataset import _get_ltor_masks_and_position_ids

    draws = torch.Generator().manual_seed(0)
    for _ in range(50):
        ids_T = torch.randint(0, 5, (24,), generator=draws)  # 0 ends a document
        mask_1TT, _, places_T = _get_ltor_masks_and_position_ids(ids_T, 0, True, True, False, True)
        positions_1T, segments_1T = split_documents(ids_T[None], separator=0)
        allowed_TT = (segments_1T[0, :, None] == segments_1T[0, None]).tril()
        assert torch.equal(positions_1T[0], places_T)
        assert torch.equal(allowed_TT, mask_1TT[0] < 0.5 if mask_1TT.dtype == torch.bool else mask_1TT[0].bool())


@pytest.mark.parametrize("stride", [0, 5, 16])
def test_perplexity_is_that_of_a_plain_sliding_window_of_transformers(stride, tmp_path):
    pytest.importorskip("transformers", reason="the reference implementation is not installed")
    reference = write_case("llama", tmp_path)
    length = 16
    tokens = np.random.default_rng(0).integers(0, reference.config.vocab_size, 75)
    windows = SlidingWindows(tokens, length, stride)
    model = load_model(tmp_path).eval()
    with torch.no_grad():
        ours = float(next_token_loss(model, windows.batch(list(range(len(windows))))))
    total, counted, start = 0.0, 0, 0
    while counted < len(tokens) - 1:  # as in transformers' guide to perplexity; its windows hold the last target, too
        stretch = torch.tensor(tokens[start : start + length + 1])[None]
        labels = stretch.clone()
        labels[:, : 1 + counted - start] = -100
        with torch.no_grad():
            number = int((labels[:, 1:] != -100).sum())
            total += float(reference(stretch, labels=labels).loss) * number
        counted, start = counted + number, start + (stride or length)
    assert counted == len(tokens) - 1
    assert ours == pytest.approx(total, rel=1e-5)
