"""Arrays that grow: kept in memory up to a size, then in a temporary file that has no name."""

import shutil
from tempfile import SpooledTemporaryFile
from typing import IO, Any

import numpy as np
import numpy.typing as npt

MEMORY_BYTES = 32_000_000


class Column:
    """Numbers of one type, appended bit by bit and written once."""

    def __init__(self, kind: npt.DTypeLike) -> None:
        self._kind = np.dtype(kind)
        self._file: Any = SpooledTemporaryFile(max_size=MEMORY_BYTES)  # noqa: SIM115 - lives as long as the column
        self.size = 0

    def append(self, values: npt.NDArray[Any]) -> None:
        """Add the values, row by row."""
        values = np.ascontiguousarray(values, self._kind)
        self._file.write(values.tobytes())
        self.size += values.size

    def copy_to(self, handle: IO[bytes]) -> None:
        """Write the bytes of all values."""
        self._file.seek(0)
        shutil.copyfileobj(self._file, handle, 1 << 20)
        self._file.close()

    def save(self, handle: IO[bytes], *, width: int) -> None:
        """Write all values as a .npy table [values / width, width]."""
        head = {"descr": self._kind.str, "fortran_order": False, "shape": (self.size // width, width)}
        np.lib.format.write_array_header_1_0(handle, head)
        self.copy_to(handle)
