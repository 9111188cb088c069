"""Texts as they are compared: as they are, or apart from case and white space."""

import pyarrow as pa
import pyarrow.compute as pc


def compared(documents: pa.Table, *, ignore_case_and_space: bool, column: str = "text") -> pa.Array | pa.ChunkedArray:
    """A column, or its words in folded case with one blank between them."""
    values = documents[column]
    if ignore_case_and_space:
        values = pa.array([" ".join((text or "").casefold().split()) for text in values.to_pylist()], pa.string())
    return values if column == "text" else pc.if_else(is_empty(values), own_value(documents), values)


def is_empty(values: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Where there is no value, or one of blanks alone."""
    return pc.equal(pc.utf8_trim_whitespace(pc.fill_null(values, "")), "")


def own_value(documents: pa.Table) -> pa.ChunkedArray:
    """A value for each document that no other has, nor any text: its id behind a NUL."""
    return pc.binary_join_element_wise("\0", documents["id"], "")
