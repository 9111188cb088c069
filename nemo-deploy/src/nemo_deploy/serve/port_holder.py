"""Which process listens on a port (Linux; elsewhere nobody is found)."""

from dataclasses import dataclass
from pathlib import Path

LISTEN = "0A"


@dataclass(frozen=True)
class Holder:
    """A process that listens."""

    pid: int
    command: str


def find_holder(port: int) -> Holder | None:
    """The process that listens on TCP `port`; None where it is another user's or the system does not tell."""
    inodes = listening_inodes(port)
    for folder in Path("/proc").glob("[0-9]*") if inodes else ():
        if inodes & socket_inodes(folder / "fd"):
            return Holder(int(folder.name), (folder / "comm").read_text(encoding="utf-8").strip())
    return None


def listening_inodes(port: int) -> set[str]:
    """Inodes of sockets in state LISTEN on `port`, from /proc/net/tcp and tcp6."""
    found = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        lines = table.read_text(encoding="ascii").splitlines()[1:] if table.is_file() else []
        for columns in map(str.split, lines):
            if columns[3] == LISTEN and int(columns[1].rpartition(":")[2], 16) == port:
                found.add(columns[9])
    return found


def socket_inodes(descriptors: Path) -> set[str]:
    """Inodes of the sockets that a process has open; empty where it may not be looked at or has just ended."""
    try:
        links = [link_target(entry) for entry in descriptors.iterdir()]
    except (PermissionError, FileNotFoundError):
        return set()
    return {link[8:-1] for link in links if link.startswith("socket:[")}


def link_target(entry: Path) -> str:
    """Where a descriptor leads; nothing where it was closed meanwhile."""
    try:
        return str(entry.readlink())
    except FileNotFoundError:
        return ""
