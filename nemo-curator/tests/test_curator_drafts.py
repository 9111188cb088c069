"""Files between two segments, and the tables that a run ends with."""

from contextlib import ExitStack

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nemo_curator.document import SCHEMA
from nemo_curator.shards import draft
from nemo_curator.shards.work import Table


def rows(first: int, count: int) -> pa.Table:
    names = [str(number) for number in range(first, first + count)]
    columns = {name: pa.array(names if name in ("id", "text") else [None] * count) for name in SCHEMA.names}
    return pa.table(columns).cast(SCHEMA)


def test_a_draft_gives_back_its_batches_and_single_columns(tmp_path):
    path = tmp_path / "00000.arrow"
    with ExitStack() as stack:
        writer = draft.Draft(stack, path, SCHEMA)
        for first, count in ((0, 3), (3, 0), (3, 2)):
            writer.write(rows(first, count))
    assert [batch.num_rows for batch in draft.batches(path)] == [3, 2]
    assert pa.concat_tables(draft.batches(path)) == rows(0, 5)
    assert [batch.column_names for batch in draft.batches(path, columns=["text"])] == [["text"]] * 2
    assert draft.column(path, "id").to_pylist() == ["0", "1", "2", "3", "4"]


def test_a_draft_without_documents_has_columns_all_the_same(tmp_path):
    path = tmp_path / "00000.arrow"
    with ExitStack() as stack:
        draft.Draft(stack, path, SCHEMA)
    assert list(draft.batches(path)) == []
    assert draft.column(path, "id").to_pylist() == []


def test_row_groups_gather_batches_and_hold_every_row(tmp_path):
    path = tmp_path / "part.parquet"
    with ExitStack() as stack:
        table = Table(stack, path, SCHEMA, group_bytes=rows(0, 10).nbytes)
        for first in range(0, 25, 5):
            table.write(rows(first, 5))
    found = pq.ParquetFile(path)
    assert [found.metadata.row_group(group).num_rows for group in range(found.num_row_groups)] == [10, 10, 5]
    assert found.read() == rows(0, 25)


def test_a_table_of_a_run_that_fails_does_not_appear(tmp_path):
    with pytest.raises(RuntimeError, match="stop"), ExitStack() as stack:
        Table(stack, tmp_path / "part.parquet", SCHEMA, group_bytes=1000).write(rows(0, 1))
        raise RuntimeError("stop")
    assert list(tmp_path.iterdir()) == []
