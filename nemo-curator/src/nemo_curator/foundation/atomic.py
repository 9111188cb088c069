"""Files and folders that appear whole under their final name or not at all."""

import contextlib
import errno
import fcntl
import glob
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from .errors import ConfigError, DiskFull

NO_PLACE = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP}
)
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
NO_ACCESS = NO_PLACE - {errno.EEXIST} | {errno.EISDIR}


@contextlib.contextmanager
def explain_disk_full(path: Path) -> Iterator[None]:
    """Turn "no space left on device" and its like into a DiskFull that names the place and the remedy."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise DiskFull(
                f"a limit on the size of files (ulimit -f) stops writing {path}; raise it, "
                "then run the same command again"
            ) from error
        if error.errno not in NO_ROOM:
            raise
        raise DiskFull(
            f"no space left while writing {path}; free some room, then run the same command again"
        ) from error


@contextlib.contextmanager
def explain_no_place(path: Path) -> Iterator[None]:
    """Turn the refusal to make a file or folder at `path` into a ConfigError that names it."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_PLACE:
            raise
        raise ConfigError(f"{path}: nothing can be written there ({error.strerror}); name another output") from error


def sync_folder(path: Path) -> None:
    """Make a rename inside `path` survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def atomic_file(path: Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """A file handle whose content is renamed to `path` once written and synced, and removed on any error."""
    path = Path(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}.partial")
    encoding = None if "b" in mode else "utf-8"
    with explain_disk_full(path):
        with explain_no_place(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.touch()
        try:
            with open(draft, mode, encoding=encoding) as handle:
                yield handle
                handle.flush()
                os.fsync(handle.fileno())
            os.replace(draft, path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def remove_torn(path: Path) -> None:
    """Remove what processes that were killed while writing `path` left of it; those still running keep theirs."""
    for torn in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        process = torn.name.split(".")[-2]
        if process.isdigit() and not is_running(int(process)):
            torn.unlink(missing_ok=True)


def is_running(process: int) -> bool:
    """Whether there is a process of this number."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def remove_torn_below(folder: Path) -> None:
    """Remove every half-written file in a folder that this process alone writes to."""
    for path in [*folder.rglob(".*.partial")]:
        if path.is_file() and path.name.split(".")[-2].isdigit():
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """The file `path` as a lock that this process alone holds, removed at the end; BlockingIOError where it is held."""
    with hold(path):
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def hold(path: Path) -> IO[Any]:
    """`path`, opened for adding and locked. One that was removed between the two is made and locked anew."""
    while True:
        file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - the caller closes it
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            file.close()
            raise
        if is_still_at(path, file):
            return file
        file.close()


def is_still_at(path: Path, file: IO[Any]) -> bool:
    """Whether the open `file` is the one that lies at `path` now."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with atomic_file(path) as handle:
        handle.write(content)


def write_text(path: Path, content: str) -> None:
    """Write `content` to `path` atomically, as UTF-8; half a surrogate pair as JSON spells it."""
    write_bytes(path, content.encode("utf-8", errors="backslashreplace"))


def replace_folder(draft: Path, final: Path) -> None:
    """Give the finished folder `draft` the name `final`, putting an older `final` aside until that is done."""
    aside = final.with_name(f".{final.name}.replaced")
    shutil.rmtree(aside, ignore_errors=True)
    if final.exists():
        os.replace(final, aside)
    os.replace(draft, final)
    sync_folder(final.parent)
    shutil.rmtree(aside, ignore_errors=True)
