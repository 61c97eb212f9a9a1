"""The addresses that a listener can have, and how they are written."""

import os
import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from siphon.config.report import shown

_UNIX_PATH_MAX = 107  # bytes: sun_path is 108 on Linux, its closing NUL included
_PORT_MAX = 65_535
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)\w(?:[\w-]{0,61}\w)?(?:\.\w(?:[\w-]{0,61}\w)?)*\.?", re.ASCII)
_BRACKETED = re.compile(r"\[(?P<host>[^\[\]]*)\](?::(?P<port>.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A host and a port to listen on; port 0 lets the system choose one."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """The path of a unix-domain socket to listen on."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True)
class FdAddress:
    """A socket that the process was started with, by the number of its descriptor."""

    number: int

    def __str__(self) -> str:
        return f"fd:{self.number}"


type Address = TcpAddress | UnixAddress | FdAddress


def parse_address(text: str) -> Address:
    """Reads ``host:port``, ``[v6]:port``, ``unix:/path`` or ``fd:N``; IP addresses come back in short form.

    Raises ValueError with a message for the operator.
    """
    if not text:
        raise ValueError("the address is missing: write host:port, [v6]:port or unix:/path")
    if text.startswith("unix:"):
        return UnixAddress(_unix_path(text.removeprefix("unix:")))
    if text.startswith("fd:"):
        return FdAddress(_descriptor(text.removeprefix("fd:")))
    if text.startswith("["):
        bracketed = _BRACKETED.fullmatch(text)
        if bracketed is None:
            raise ValueError(f"{shown(text)} is no address: write IPv6 as [::1]:8080")
        return TcpAddress(_ipv6(bracketed["host"]), _port(bracketed["port"], text))
    host, colon, port = text.rpartition(":")
    if not colon:
        return TcpAddress(_host(text), _port(None, text))
    if host in ("", "*"):
        raise ValueError(
            f"{shown(text)} names no host: for all interfaces write "
            f"0.0.0.0:{port} (IPv4) or [::]:{port} (IPv6)"
        )
    return TcpAddress(_host(host), _port(port, text))


def _unix_path(path: str) -> str:
    if not path.startswith("/"):
        raise ValueError("a unix socket needs an absolute path, such as unix:/run/siphon.sock")
    try:
        size = len(path.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        size = 0
    if size == 0 or "\0" in path:
        raise ValueError(f"{shown(path)} holds a character that no path can have")
    if size > _UNIX_PATH_MAX:
        raise ValueError(
            f"the path of a unix socket can have {_UNIX_PATH_MAX} bytes, this one has {size}: "
            f"choose a shorter path than {shown(os.path.dirname(path) + '/')} leads to"
        )
    return path


def _descriptor(number: str) -> int:
    if not re.fullmatch(r"[0-9]{1,7}", number):
        raise ValueError(f"an inherited socket is named by its descriptor, such as fd:3, not {shown(number)}")
    return int(number)


def _host(host: str) -> str:
    if ":" in host and "/" not in host:
        raise ValueError(f"{shown(host)} is no host: write IPv6 in brackets, such as [::1]:8080")
    if host.isdigit():
        raise ValueError(f"{shown(host)} is no host: write host:port, such as 127.0.0.1:8080")
    if re.fullmatch(r"[0-9.]+", host):
        try:
            return str(IPv4Address(host))
        except AddressValueError:
            raise ValueError(
                f"{shown(host)} is no IPv4 address: four numbers from 0 to 255, no leading zeros"
            ) from None
    if not _HOST_NAME.fullmatch(host):
        raise ValueError(
            f"{shown(host)} is no host name or IP address: write host:port, such as 127.0.0.1:8080"
        )
    return host.lower()


def _ipv6(host: str) -> str:
    try:
        return str(IPv6Address(host))
    except AddressValueError:
        raise ValueError(f"{shown(host)} is no IPv6 address: write one such as [::1]:8080") from None


def _port(port: str | None, text: str) -> int:
    if port is None:
        raise ValueError(f"{shown(text)} has no port: write host:port, such as {text}:8080")
    if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > _PORT_MAX:
        raise ValueError(f"the port must be a whole number from 0 to {_PORT_MAX}, not {shown(port)}")
    return int(port)
