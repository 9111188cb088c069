"""The repair step: text that was decoded wrongly, composed oddly or littered with controls, made plain."""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta

# Traces of UTF-8 read as a one-byte encoding, HTML entities left over, and characters that ftfy would change.
SUSPICIOUS = re.compile(
    "[\u00c2-\u00f4\u0102\u0103\u010e\u010f\u0413-\u0432\u0393-\u03b3][\u0080-\u00bf\u0152-\u017e\u2013-\u2122]"
    "|[\u0080-\u009f\ufffd\ufb00-\ufb06\ud800-\udfff]|&(?:[a-z]{2,8}|#[0-9]{2,5});"
)
CONTROLS = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\ufeff\ufff9-\uffff]"
)
BLANKS = re.compile("[^\\S\n]+")
LINE_ENDS = re.compile("\r\n?|\x85|\u2028|\u2029")
BLANK_AT_LINE_END = re.compile(r"[^\S\n]+$", re.MULTILINE)
MANY_NEWLINES = re.compile(r"\n{3,}")


@dataclass(frozen=True, kw_only=True)
class Repair:
    """The repair step: Unicode mended, NFC, controls removed, line ends and blanks made regular."""

    encoding: Annotated[bool, Meta(description="mend text that was decoded with the wrong encoding (ftfy)")] = True
    keep_indentation: Annotated[bool, Meta(description="keep blanks at the start of lines and runs of blanks")] = True

    def open(self) -> Callable[[Any], Any]:
        """The step as a function from a batch to its verdict."""
        import pyarrow as pa

        from ..document import keep_all, set_column

        def step(documents: Any) -> Any:
            for column in ("text", "title"):
                mended = [mend(text, self) for text in documents[column].to_pylist()]
                documents = set_column(documents, column, pa.array(mended, pa.string()))
            return keep_all(documents)

        return step


def mend(text: str, settings: Repair) -> str:
    """`text` repaired."""
    if settings.encoding and not text.isascii() and SUSPICIOUS.search(text):
        text = fix_encoding(text)
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
        text = text.replace("\u00a0", " ")
    text = CONTROLS.sub("", LINE_ENDS.sub("\n", text))
    text = BLANK_AT_LINE_END.sub("", text) if settings.keep_indentation else BLANKS.sub(" ", text)
    return MANY_NEWLINES.sub("\n\n", text).strip("\n").rstrip()


def fix_encoding(text: str) -> str:
    """The repair that ftfy makes of text that looks wrongly decoded, without its typographic simplifications."""
    import ftfy

    return ftfy.fix_text(text, uncurl_quotes=False, fix_latin_ligatures=True, unescape_html="auto")
