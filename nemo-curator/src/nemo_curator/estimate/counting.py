"""An input file that knows how much of it has been read."""

import io
from dataclasses import dataclass, field, fields
from typing import Any, BinaryIO

from ..read.files import InputFile

BUFFER_BYTES = 1 << 14


@dataclass(frozen=True, kw_only=True)
class CountedFile(InputFile):
    """The same file; its handles note how much they delivered, as stored."""

    counts: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, file: InputFile) -> "CountedFile":
        """`file`, counted."""
        return cls(**{field.name: getattr(file, field.name) for field in fields(InputFile)})

    def open(self) -> BinaryIO:
        """The bytes of the file as they are stored, from its beginning."""
        return io.BufferedReader(Counting(super().open(), self.counts), BUFFER_BYTES)

    @property
    def read_bytes(self) -> int:
        """Bytes read so far; never more than there are, where a reader went back."""
        return min(sum(self.counts), self.num_bytes)

    @property
    def used_bytes(self) -> int:
        """Bytes that what has come out so far was made of; of the last read, half is taken to wait in a buffer."""
        return max(1, self.read_bytes - self.counts[-1] // 2) if self.counts else 0


class Counting(io.RawIOBase):
    """A handle that notes the length of every read."""

    def __init__(self, handle: BinaryIO, counts: list[int]) -> None:
        self._handle, self._counts = handle, counts

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer`."""
        content = self._handle.read(len(buffer))
        buffer[: len(content)] = content
        self._counts.append(len(content))
        return len(content)

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """As the file is."""
        return self._handle.seekable()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go elsewhere."""
        return self._handle.seek(offset, whence)

    def tell(self) -> int:
        """Where it is."""
        return self._handle.tell()

    def close(self) -> None:
        """Close the file."""
        self._handle.close()
        super().close()
