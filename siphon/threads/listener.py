"""An address that is listened on: its socket, its limits and its routes."""

from __future__ import annotations

import os
import socket
import stat
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from siphon.config.settings import FdAddress, TcpAddress, UnixAddress
from siphon.errors import ConfigError, StartError
from siphon.journal import journal
from siphon.threads.channel import Cleartext
from siphon.threads.inherited import adopt
from siphon.wire.head import WireLimits

if TYPE_CHECKING:
    import ssl

    from siphon.config.settings import ListenerSettings
    from siphon.dispatch import Chain
    from siphon.routing import Router
    from siphon.threads.buffered import BufferedBytes
    from siphon.threads.channel import Channel

LINGER_S: Final = 2.0


class Site:
    """What the clients of one listener are served, within which limits, apart from where it listens.

    ``_lock`` guards the count of connections and ``_told``.
    """

    def __init__(self, settings: ListenerSettings, router: Router[Chain], buffered: BufferedBytes) -> None:
        self.settings = settings
        self.match = router.match
        self.buffered = buffered
        self.limits = WireLimits(
            max_header_bytes=settings.max_header_bytes,
            max_headers=settings.max_headers,
            max_target_bytes=settings.max_target_bytes,
            max_body_bytes=settings.max_body_bytes,
        )
        self.scheme = "http" if settings.tls is None else "https"
        self.server_header = settings.server_header
        self.keep_alive_requests = settings.keep_alive_requests
        self.request_timeout_s = settings.request_timeout_ms / 1000
        self.header_timeout_s = settings.header_timeout_ms / 1000
        self.body_grace_s = settings.body_grace_ms / 1000
        self.write_timeout_s = settings.write_timeout_ms / 1000
        self.keep_alive_timeout_s = settings.keep_alive_timeout_ms / 1000
        self.shortest_timeout_s = min(
            LINGER_S,
            self.request_timeout_s,
            self.header_timeout_s,
            self.body_grace_s,
            self.write_timeout_s,
            self.keep_alive_timeout_s,
        )
        self._lock = threading.Lock()
        self._connections = 0
        self._told: set[str] = set()

    @property
    def url(self) -> str:
        """Where it is said to be."""
        return str(self.settings.listen)

    def log_once(self, what: str, peer: str) -> None:
        """Logs what any client can cause, the first time that one does."""
        with self._lock:
            first = what not in self._told
            self._told.add(what)
        if first:
            journal.log("warning", f"{self.url}: {what}; the first is {peer}, others are not logged")

    def enter(self, *, beyond_limit: bool = False) -> bool:
        """Counts a connection in, unless ``max_connections`` are there and it must not go beyond."""
        with self._lock:
            if self._connections >= self.settings.max_connections and not beyond_limit:
                return False
            self._connections += 1
            return True

    def leave(self) -> None:
        """Counts a connection out."""
        with self._lock:
            self._connections -= 1

    @property
    def connections(self) -> int:
        """How many are open."""
        with self._lock:
            return self._connections


class Listener(Site):
    """One bound socket, shared by every acceptor; ``_lock`` guards the count of those as well."""

    def __init__(self, settings: ListenerSettings, router: Router[Chain], buffered: BufferedBytes) -> None:
        """Binds the address; raises StartError where it cannot be had, ConfigError for its certificate."""
        super().__init__(settings, router, buffered)
        self._acceptors = 0
        # What new connections shake hands with; None where they are cleartext.
        self.tls = self._certificates()
        self.socket = _bind(settings)
        self.is_unix = self.socket.family == socket.AF_UNIX
        self._url = self._where()
        self._file = os.stat(settings.listen.path) if isinstance(settings.listen, UnixAddress) else None

    @property
    def url(self) -> str:
        """Where it can be reached, with the real port; also once it is closed."""
        return self._url

    def _where(self) -> str:
        if self.is_unix:
            return f"unix:{self.socket.getsockname()}"
        host, port = self.socket.getsockname()[:2]
        return f"{self.scheme}://{TcpAddress(host, port)}"

    @property
    def port(self) -> int:
        """The port it is bound to; 0 for a unix-domain socket."""
        return 0 if self.is_unix else int(self.socket.getsockname()[1])

    def listen(self) -> None:
        """Lets clients connect; raises StartError where another process took the address meanwhile."""
        if self._is_replaced():
            raise StartError(
                f"cannot listen on {self.settings.listen}: another process has replaced the file"
            )
        try:
            self.socket.listen(self.settings.backlog)
        except OSError as error:
            raise StartError(f"cannot listen on {self.settings.listen}: {error.strerror}") from error

    def reload_certificates(self) -> None:
        """Reads the files of a TLS listener again, for connections to come; raises ConfigError."""
        self.tls = self._certificates()

    def _certificates(self) -> ssl.SSLContext | None:
        tls = self.settings.tls
        if tls is None:
            return None
        from siphon.config.certificates import out_of_date, server_context

        try:
            context, warning = server_context(tls), out_of_date(tls)
        except ConfigError as error:
            (problem,) = error.problems
            where, key = f"the listener on {self.settings.listen}", f"tls.{problem.key}".rstrip(".")
            raise ConfigError([replace(problem, where=where, key=key)]) from error
        if warning is not None:
            journal.log("warning", f"the listener on {self.settings.listen}: {warning}")
        return context

    def channel(self, sock: socket.socket) -> Channel:
        """What the bytes of a new connection go through."""
        if self.tls is None:
            return Cleartext(sock)
        from siphon.threads.tls import Tls  # the secure acceptors have imported it

        return Tls(sock, self.tls, proxied=self.settings.proxy_protocol)

    def share(self, acceptors: int) -> None:
        """Says how many acceptors use the socket; the last of them to ``release`` it closes it."""
        with self._lock:
            self._acceptors = acceptors

    def release(self) -> None:
        """An acceptor accepts no more; after the last one, newcomers are refused instead of left waiting."""
        with self._lock:
            self._acceptors -= 1
            last = self._acceptors == 0
        if last:
            self.close()

    def close(self) -> None:
        """Closes the socket and removes a unix-domain socket's file. Harmless when called again."""
        if self.socket.fileno() < 0:
            return
        self.socket.close()
        address = self.settings.listen
        if isinstance(address, UnixAddress) and not self._is_replaced():
            try:
                _remove_socket(address.path)
            except OSError as error:
                journal.log("warning", f"{address} stays: {error.strerror}")

    def _is_replaced(self) -> bool:
        """Whether a unix-domain socket's path leads to another file than the one it has made, or to none."""
        address = self.settings.listen
        if self._file is None or not isinstance(address, UnixAddress):
            return False
        try:
            found = os.stat(address.path)
        except FileNotFoundError:
            return True
        except OSError:
            return False  # a hook has given up the right to look, perhaps
        return not os.path.samestat(found, self._file)


def _bind(settings: ListenerSettings) -> socket.socket:
    address = settings.listen
    if isinstance(address, FdAddress):
        return adopt(address)
    try:
        if isinstance(address, UnixAddress):
            return _bind_unix(address.path)
        # As bytes, or getaddrinfo imports what encodes international names: 0.7 MB, and 3 % of the start.
        host = address.host.encode("ascii")
        family, _, _, _, target = socket.getaddrinfo(
            host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if settings.reuse_port:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            # Inherited by what it accepts: an answer goes out at once, not when the next packet does.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setblocking(False)
            sock.bind(target)
        except BaseException:
            sock.close()
            raise
        return sock
    except OSError as error:
        raise StartError(f"cannot bind {address}: {error.strerror or error}") from error


def _bind_unix(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if not _answers(path):
            _remove_socket(path)
        sock.bind(path)
    except BaseException:
        sock.close()
        raise
    return sock


def _answers(path: str) -> bool:
    """Whether somebody listens on the unix-domain socket at ``path``."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except BlockingIOError:
            return True  # so many clients wait there that it takes no more
        except OSError:
            return False
        return True


def _remove_socket(path: str) -> None:
    try:
        if stat.S_ISSOCK(os.stat(path).st_mode):
            os.unlink(path)
    except FileNotFoundError:
        return
