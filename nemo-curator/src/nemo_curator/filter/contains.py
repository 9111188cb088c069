"""The contains step: documents by a text or pattern that they hold, or must not hold."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Meta

from ..foundation.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Contains:
    """The contains step: keep or drop documents that hold a text (NeMo Curator's SubstringFilter; RegexFilter).

    SubstringFilter keeps documents with the text, datatrove's RegexFilter drops those that the pattern matches.
    """

    text: Annotated[str, Meta(description="the text to look for")] = ""
    pattern: Annotated[str, Meta(description="regular expression to look for, in place of a text")] = ""
    position: Annotated[Literal["any", "prefix", "suffix"], Meta(description="where in the document")] = "any"
    keep: Annotated[bool, Meta(description="keep the documents that hold it; false drops them")] = True

    def __post_init__(self) -> None:
        if bool(self.text) == bool(self.pattern):
            raise ConfigError("contains: set either text or pattern")
        if self.pattern and self.position != "any":
            raise ConfigError(f"contains.position={self.position} goes with text; say \\A or \\Z in the pattern")
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ConfigError(f"contains.pattern={self.pattern!r} is no regular expression: {error}") from None

    def found(self) -> Callable[[str], bool]:
        """Whether a document holds what is looked for."""
        if self.pattern:
            search = re.compile(self.pattern).search
            return lambda text: search(text) is not None
        wanted = self.text
        if self.position == "any":
            return lambda text: wanted in text
        return lambda text: text.startswith(wanted) if self.position == "prefix" else text.endswith(wanted)

    def open(self) -> Callable[[Any], Any]:
        """The step as a function from a batch to its verdict."""
        import pyarrow as pa

        from ..document import Verdict

        found = self.found()
        fault = "lacks_wanted_text" if self.keep else "holds_unwanted_text"

        def step(documents: Any) -> Any:
            stays = [found(text or "") == self.keep for text in documents["text"].to_pylist()]
            return Verdict(
                documents=documents, reason=pa.array([None if kept else fault for kept in stays], pa.string())
            )

        return step
