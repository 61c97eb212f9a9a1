"""Sockets that systemd passes to a service: the variables LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES."""

import os
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass

from siphon.config.address import FdAddress
from siphon.config.draft import Draft, Given
from siphon.config.report import Place, Report, shown
from siphon.config.settings import AdminSettings, ListenerSettings

_FIRST = 3  # SD_LISTEN_FDS_START
_MOST = 1_000
_ADMIN = "admin"
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


@dataclass(frozen=True, slots=True)
class Passed:
    """One socket that was passed, with the name that its socket unit gives it; empty where it gives none."""

    address: FdAddress
    name: str

    def given(self) -> Given:
        """Its address, as the value of a setting."""
        return Given(Place("LISTEN_FDS"), self.address)


def passed_sockets(environ: Mapping[str, str], report: Report) -> list[Passed]:
    """What was passed to this very process; variables that are meant for another one say nothing."""
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    text = environ.get("LISTEN_FDS", "")
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(_MOST)) or int(text) > _MOST:
        report.add(Place("LISTEN_FDS"), "", f"must be a whole number from 0 to {_MOST}, not {shown(text)}")
        return []
    count = int(text)
    names = environ["LISTEN_FDNAMES"].split(":") if environ.get("LISTEN_FDNAMES") else []
    names += [""] * (count - len(names))
    return [Passed(FdAddress(_FIRST + number), names[number]) for number in range(count)]


def activate(servers: list[Draft[ListenerSettings]], passed: list[Passed]) -> list[Draft[ListenerSettings]]:
    """Gives the passed sockets to the listeners: first by name, then in order, then to further ones.

    A listener for which no socket is left binds its own address.
    """
    left: list[Passed] = []
    free = list(servers)
    for socket in passed:
        named = next((server for server in free if _name(server) == socket.name), None)
        if named is None:
            left.append(socket)
        else:
            named.given["listen"] = socket.given()
            free.remove(named)
    for socket, server in zip(left, free, strict=False):
        server.given["listen"] = socket.given()
    further = [Draft(ListenerSettings, "", Place("LISTEN_FDS")) for _ in left[len(free) :]]
    for socket, server in zip(left[len(free) :], further, strict=True):
        server.given["listen"] = socket.given()
    return servers + further


def activate_admin(
    admin: Draft[AdminSettings], servers: list[Draft[ListenerSettings]], passed: list[Passed]
) -> list[Passed]:
    """Gives a socket that is named ``admin`` to the admin listener; returns those that are left.

    One of ``servers`` may have that name: then the socket is meant for it.
    """
    named = next((socket for socket in passed if socket.name == _ADMIN), None)
    if named is None or any(_name(server) == _ADMIN for server in servers):
        return passed
    admin.given["listen"] = named.given()
    return [socket for socket in passed if socket is not named]


def _name(server: Draft[ListenerSettings]) -> object:
    name = server.given.get("name")
    return name.value if name is not None and name.sound else None


def forget(environ: MutableMapping[str, str]) -> None:
    """Removes the variables, so that no process that the script starts takes them for its own."""
    for variable in _VARIABLES:
        environ.pop(variable, None)
