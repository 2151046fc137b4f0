"""Who may come in: the page is for those who have its whole address, and for no other web site.

The address that is printed holds a token. Whoever opens it is given a cookie and sent on to the
same address without one. A request is judged by three things before viser sees it:

- `Host` is a name of this machine, or an address of numbers: a name that a stranger points at this
  machine is none (DNS rebinding).
- `Origin`, where a browser names it, is the page's own: another site's script is turned away.
- the token is in the cookie, or in the address of the page.

Pages are shown in no frame of another site. viser has no place for any of this; it serves by
`websockets.asyncio.server.serve`, which `Door.guarding` gives a function that judges first.
"""

from __future__ import annotations

import asyncio
import errno
import hmac
import http
import ipaddress
import os
import re
import secrets
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

TAKEN = "port {} is taken; choose another one with --port"
_LOCAL = ("127.0.0.1", "localhost", "::1")
_DRESS = {
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
# A name or an address of numbers, and a port: urlsplit finds one in other things as well.
_HOST = re.compile(r"([\w.-]+|\[[0-9A-Fa-f:.]+\])(:\d+)?", re.ASCII)
# Of one message from a page; the largest are pieces of an upload.
_LARGEST_MESSAGE = 16 * 2**20
_CLOSED = (
    "This page is for those who have its whole address, with its token: it is printed where "
    "geoflow view --web was started.\n"
)


def why_closed(host: str, port: int) -> str:
    """Why no page can be served there, by listening for a moment; nothing where one can.

    viser tries other ports where it cannot listen, and waits for ever where none will do.
    """

    async def listen() -> None:
        server = await asyncio.get_running_loop().create_server(asyncio.Protocol, host, port)
        server.close()
        await server.wait_closed()

    # In a thread, since a notebook has a loop of its own in this one.
    with ThreadPoolExecutor(1) as pool:
        error = pool.submit(asyncio.run, listen()).exception()
    if error is None:
        return ""
    if not isinstance(error, (OSError, ValueError, OverflowError)):
        raise error
    reason = str(error)
    if isinstance(error, OSError) and not isinstance(error, socket.gaierror):
        if error.errno == errno.EADDRINUSE:
            return TAKEN.format(port)
        reason = os.strerror(error.errno or errno.EIO)
    return f"nothing can listen at {host!r}, port {port}: {reason}"


class Door:
    """Judges requests to a page.

    Args:
        host: that the page listens on.
        port: of the page.
    """

    def __init__(self, host: str, port: int) -> None:
        self.token = secrets.token_urlsafe(16)
        self._cookie = f"geoflow-{port}"
        self._names = {host, *_LOCAL, socket.gethostname(), socket.getfqdn()}
        self.is_shut = False
        """Whether the server judges by this door."""

    def address(self, host: str, port: int) -> str:
        """What a person opens."""
        return f"http://{host}:{port}/?token={self.token}"

    @contextmanager
    def guarding(self) -> Iterator[None]:
        """Servers of websockets that start inside are guarded by this door."""
        import websockets.asyncio.server as module

        from geoflow_viewer.inbox import SILENT, hearing

        original = module.serve

        def serve(handler: Any, *where: Any, process_request: Any = None, **options: Any) -> Any:
            self.is_shut = True
            options |= {"max_size": _LARGEST_MESSAGE, "logger": SILENT}
            judged = self._before(process_request)
            return original(hearing(handler), *where, process_request=judged, **options)

        module.serve = serve  # type: ignore[assignment, misc]
        try:
            yield
        finally:
            module.serve = original  # type: ignore[misc]

    def _before(self, process_request: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        from websockets.datastructures import MultipleValuesError

        def process(connection: Any, request: Any) -> Any:
            try:
                answer = self.judge(request.path, request.headers)
                served = process_request(connection, request) if answer is None else None
            except (ValueError, OSError, MultipleValuesError):
                # An address, a name or an origin that is none; or a header that comes twice.
                answer = http.HTTPStatus.BAD_REQUEST, {}, "That is no request of this page.\n"
            if answer is None:
                answer = served
            else:
                status, headers, text = answer
                answer = connection.respond(status, text)
                for name, value in headers.items():
                    answer.headers[name] = value
            if answer is not None:
                for name, value in _DRESS.items():
                    answer.headers[name] = value
            return answer

        return process

    def judge(self, path: str, headers: Any) -> tuple[http.HTTPStatus, dict[str, str], str] | None:
        """Status, headers and text of the answer that ends a request; None lets it in.

        Args:
            path: that is asked for, with its query.
            headers: `get` and `get_all` are asked.
        """
        host, origin = headers.get("Host") or "", headers.get("Origin")
        if not self._is_ours(host):
            return _refusal(f"{host!r} is no name of this viewer: open it by its address.\n")
        if origin is not None and urlsplit(origin).netloc != host:
            return _refusal("Pages of other sites cannot use this viewer.\n")
        asked = urlsplit(path)
        given = parse_qs(asked.query).get("token", [""])[0]
        is_page = headers.get("Upgrade") != "websocket"
        if is_page and self._is_token(given):
            cookie = f"{self._cookie}={self.token}; HttpOnly; SameSite=Lax; Path=/"
            return http.HTTPStatus.SEE_OTHER, {"Location": "/", "Set-Cookie": cookie}, ""
        if not any(self._is_token(value) for value in self._cookies(headers)):
            return _refusal(_CLOSED)
        if is_page and asked.query:
            # viser's page would go to another server, where its query names one.
            return http.HTTPStatus.SEE_OTHER, {"Location": "/"}, ""
        return None

    def _is_ours(self, host: str) -> bool:
        if _HOST.fullmatch(host) is None:
            return False
        name = urlsplit(f"//{host}").hostname or ""
        if name in {known.lower() for known in self._names}:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(errors="replace"), self.token.encode())

    def _cookies(self, headers: Any) -> Iterator[str]:
        for line in headers.get_all("Cookie"):
            for part in line.split(";"):
                name, _, value = part.strip().partition("=")
                if name == self._cookie:
                    yield value


def _refusal(text: str) -> tuple[http.HTTPStatus, dict[str, str], str]:
    return http.HTTPStatus.FORBIDDEN, {}, text
