"""Which tokens a step learns from: every sample once an epoch, rows cut and packed without touching each other."""

import pytest
import torch

from nemo_core.data.ahead import made_ahead
from nemo_core.data.batch import IGNORED, micro_batches
from nemo_core.data.batch_size import BatchSizes
from nemo_core.data.packing import Example, PackedData, pack, packed_batch
from nemo_core.data.sampler import Sampler, permute
from nemo_core.data.windows import Windows, pretrain_data, split_documents
from nemo_core.foundation.errors import InputError


@pytest.mark.parametrize("size", [1, 2, 3, 5, 16, 17, 1000])
def test_a_shuffle_by_formula_visits_every_sample_once_an_epoch(size):
    sampler = Sampler(size, seed=3)
    epochs = [[sampler[place] for place in range(e * size, (e + 1) * size)] for e in range(3)]
    assert all(sorted(epoch) == list(range(size)) for epoch in epochs)
    if size > 10:
        assert epochs[0] != epochs[1] != epochs[2]
        assert epochs[0] != [Sampler(size, seed=4)[place] for place in range(size)]


def test_any_place_of_a_huge_collection_is_known_at_once():
    sampler = Sampler(10**12, seed=0)
    places = [0, 10**12 - 1, 7 * 10**12 + 5]
    assert [sampler[place] for place in places] == [sampler[place] for place in places]
    assert all(0 <= sampler[place] < 10**12 for place in places)


def test_the_shuffle_has_no_visible_order():
    order = torch.tensor([permute(place, size=4096, key=9) for place in range(4096)], dtype=torch.float64)
    steps = torch.stack([order[:-1], order[1:]])
    assert abs(torch.corrcoef(steps)[0, 1]) < 0.05
    assert abs(torch.corrcoef(torch.stack([order, torch.arange(4096.0)]))[0, 1]) < 0.05


def test_windows_cover_the_stream_and_the_last_one_is_filled_up():
    windows = Windows(torch.arange(11).numpy(), 4)
    batch = windows.batch([0, 1, 2])
    assert (len(windows), windows.num_whole) == (3, 2)
    assert batch.targets_BT.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, IGNORED, IGNORED]]
    assert batch.num_targets == 10
    assert batch.ids_BT[2].tolist() == [8, 9, 0, 0]


def test_documents_in_a_window_are_counted_and_their_places_start_anew():
    positions_BT, segments_BT = split_documents(torch.tensor([[5, 6, 0, 7, 0, 8, 9, 9]]), separator=0)
    assert positions_BT.tolist() == [[0, 1, 2, 0, 1, 0, 1, 2]]
    assert segments_BT.tolist() == [[0, 0, 0, 1, 1, 2, 2, 2]]


def test_a_batch_depends_on_the_step_alone():
    tokens = torch.arange(1000).numpy()
    one, other = (pretrain_data({"a": Windows(tokens, 8)}, {"a": 1}, seed=1, sizes=BatchSizes(4)) for _ in range(2))
    for step in range(50):
        other.batch(step)
    assert torch.equal(one.batch(77).ids_BT, other.batch(77).ids_BT)


def test_batches_made_ahead_are_the_same_and_errors_come_when_asked_for():
    made: list[int] = []

    def make(step: int) -> int:
        made.append(step)
        if step == 5:
            raise InputError("row 5 is damaged")
        return step * 10

    with made_ahead(make, device="cuda") as batch_of:
        assert [batch_of(step) for step in (0, 1, 2, 4)] == [0, 10, 20, 40]  # 3 was made in vain
        with pytest.raises(InputError, match="row 5 is damaged"):
            batch_of(5)
    assert sorted(made) == [0, 1, 2, 3, 4, 5]
    with made_ahead(make, device="cpu") as batch_of:
        assert batch_of is make


def test_micro_batches_are_the_rows_of_the_batch():
    batch = Windows(torch.arange(100).numpy(), 8).batch([0, 1, 2, 3, 4])
    parts = micro_batches(batch, rows=2)
    assert [len(part.ids_BT) for part in parts] == [2, 2, 1]
    assert torch.equal(torch.cat([part.targets_BT for part in parts]), batch.targets_BT)


@pytest.mark.parametrize("lengths", [[5, 5, 5], [1] * 20, [7, 3, 6, 4, 5, 5], [10], [2, 9, 1, 8, 3, 7]])
def test_packed_rows_hold_every_example_once_and_none_is_too_long(lengths):
    rows = pack(lengths, capacity=10)
    assert sorted(number for row in rows for number in row) == list(range(len(lengths)))
    assert all(sum(lengths[number] for number in row) <= 10 for row in rows)
    assert len(rows) <= 2 * -(-sum(lengths) // 10)


def test_only_answers_are_targets_and_examples_do_not_touch():
    first = Example([1, 2, 3, 4], [False, False, True, True])
    second = Example([5, 6, 7], [False, True, False])
    batch = packed_batch([[first, second], [second]])
    assert batch.targets_BT.tolist() == [[IGNORED, 3, 4, IGNORED, 6, IGNORED, IGNORED], [6] + [IGNORED] * 6]
    assert batch.positions_BT.tolist()[0] == [0, 1, 2, 3, 0, 1, 2]
    assert batch.segments_BT.tolist() == [[0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1, 1]]


def test_an_epoch_of_packed_rows_learns_every_answer_once():
    examples = [Example([n + 1] * (3 + n % 4), [False] + [True] * (2 + n % 4)) for n in range(11)]
    rows = pack([len(e.ids) for e in examples], capacity=12)
    data = PackedData(examples, rows, Sampler(len(rows), 5), batch_size=1, collate=packed_batch)
    seen = torch.cat([data.batch(step).targets_BT.flatten() for step in range(len(rows))])
    expected = sorted(token for e in examples for token in e.ids[1:])
    assert sorted(seen[seen != IGNORED].tolist()) == expected
