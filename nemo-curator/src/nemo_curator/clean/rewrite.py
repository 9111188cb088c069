"""Steps that rewrite each text by a rule of their own; a document that loses all its text is dropped."""

from collections.abc import Callable
from typing import Any

EMPTY = "nothing_left"


def rewriting(rewrite: Callable[[str], str]) -> Callable[[Any], Any]:
    """The step that puts `rewrite(text)` in place of every text."""
    import pyarrow as pa

    from ..document import Verdict, set_column

    def step(documents: Any) -> Any:
        texts = [rewrite(text) for text in documents["text"].to_pylist()]
        return Verdict(
            documents=set_column(documents, "text", pa.array(texts, pa.string())),
            reason=pa.array([None if text.strip() else EMPTY for text in texts], pa.string()),
        )

    return step
