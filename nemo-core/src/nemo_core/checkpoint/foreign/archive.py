"""Unpacking of ``.nemo`` files, which are tar archives from anywhere."""

import tarfile
from pathlib import Path, PurePosixPath

from ...foundation import atomic
from ...foundation.errors import ArtifactError


def unpack(archive: Path, folder: Path) -> None:
    """Unpack plain files and folders. Raises ArtifactError, before anything is written, for a member that is neither or
    whose path leaves the folder.
    """
    try:
        with tarfile.open(archive) as tar, atomic.explain_disk_full(folder):
            members = [safe(member, archive) for member in tar]
            tar.extractall(folder, members, filter="data")
    except (tarfile.TarError, EOFError) as error:
        raise ArtifactError(f"{archive}: damaged or no tar archive ({error}); fetch it again") from None
    except FileNotFoundError:
        raise ArtifactError(f"{archive}: no such file") from None


def safe(member: tarfile.TarInfo, archive: Path) -> tarfile.TarInfo:
    """The member, once it is sure that it lands inside."""
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        raise ArtifactError(f"{archive}: member {member.name!r} leaves the folder it is unpacked into; not unpacked")
    if not (member.isfile() or member.isdir()):
        raise ArtifactError(f"{archive}: member {member.name!r} is a link or device; not unpacked")
    return member
