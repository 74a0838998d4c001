"""Where a server listens, and the address that people are given."""

import socket

from aiohttp import web

from safecase.web._errors import CannotListen

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_EVERY = frozenset({"0.0.0.0", "::"})  # noqa: S104 - told apart, not chosen


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server there.

    >>> is_loopback("127.0.0.1"), is_loopback("0.0.0.0")
    (True, False)
    """
    return host in _LOOPBACK


async def listen(runner: web.AppRunner, host: str, port: int, *, backlog: int = 128) -> str:
    """Serve there from now on.

    Args:
        runner: set up already.
        port: 0 takes a free one.

    Returns:
        The address of the first page.

    Raises:
        CannotListen: the address is taken, or not this machine's.
    """
    try:
        await web.TCPSite(runner, host, port, backlog=backlog).start()
    except OSError as error:
        line = f"cannot listen on {host}:{port} ({error.strerror})"
        raise CannotListen(f"{line}; give another --host or --port") from error
    shown = f"[{host}]" if ":" in host else host
    return f"http://{socket.gethostname() if host in _EVERY else shown}:{runner.addresses[0][1]}/"
