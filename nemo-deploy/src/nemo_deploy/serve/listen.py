"""The listening socket, and a message a person can act on where there is none to be had."""

import errno
import socket

from nemo_core.foundation.errors import UserError

BACKLOG = 2048


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises UserError naming the address, and who holds the port where it is taken."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, UnicodeError) as error:
        raise UserError(f"host={host}: no such address ({error})") from None
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(BACKLOG)  # from here on clients queue, and nobody else can take the port
    except OSError as error:
        listener.close()
        raise UserError(explain(error, host, port)) from None
    return listener


def explain(error: OSError, host: str, port: int) -> str:
    """Why `host`:`port` cannot be listened on, and what to do."""
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {host} is in use{holder(port)}; stop that program, "
            f"or say port={free_port(host)} (free now) or port=0 (any free one)"
        )
    if error.errno == errno.EACCES:
        return f"port {port} on {host}: not permitted; ports below 1024 need privileges, try port=8000"
    return f"cannot listen on {host}:{port}: {error.strerror}; use host=127.0.0.1 or an address of this machine"


def holder(port: int) -> str:
    """`` by process 123 (python)`` where the system tells, else nothing."""
    from .port_holder import find_holder

    found = find_holder(port)
    return f" by process {found.pid} ({found.command})" if found else ""


def free_port(host: str) -> int:
    """A port nobody listens on at this moment."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def url_of(listener: socket.socket) -> str:
    """The HTTP address of a bound socket, as a client on this machine reaches it."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
