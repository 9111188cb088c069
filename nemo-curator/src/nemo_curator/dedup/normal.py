"""Texts as they are compared: as they are, or apart from case and white space."""

import pyarrow as pa


def compared(documents: pa.Table, *, ignore_case_and_space: bool) -> pa.Array | pa.ChunkedArray:
    """The text column, or its words in folded case with one blank between them."""
    if not ignore_case_and_space:
        return documents["text"]
    return pa.array([" ".join(text.casefold().split()) for text in documents["text"].to_pylist()], pa.string())
