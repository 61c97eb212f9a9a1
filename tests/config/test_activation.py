"""Sockets that systemd passes: whose they are, and which listener gets which."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from siphon.config.activation import forget
from siphon.config.address import FdAddress, TcpAddress
from siphon.config.load import Overrides
from siphon.config.settings import ListenerSettings

if TYPE_CHECKING:
    from tests.config.beside import Site

TWO = """
servers:
  - {name: public, listen: "127.0.0.1:1", backlog: 5}
  - {name: private, listen: "127.0.0.1:2", backlog: 6}
"""
PUBLIC = TcpAddress("127.0.0.1", 1)
PRIVATE = TcpAddress("127.0.0.1", 2)


def passed(count: object, names: str | None = None, pid: object = None) -> dict[str, str]:
    variables = {"LISTEN_PID": str(os.getpid() if pid is None else pid), "LISTEN_FDS": str(count)}
    return variables if names is None else {**variables, "LISTEN_FDNAMES": names}


def test_without_a_file_each_passed_socket_is_a_listener_with_the_defaults(site: Site) -> None:
    assert site.load(passed(2)).servers == (
        ListenerSettings(listen=FdAddress(3)),
        ListenerSettings(listen=FdAddress(4)),
    )


@pytest.mark.parametrize(
    ("variables", "addresses"),
    [
        (passed(2), [FdAddress(3), FdAddress(4)]),
        (passed(2, "private:public"), [FdAddress(4), FdAddress(3)]),
        (passed(2, "app.socket:public"), [FdAddress(4), FdAddress(3)]),
        (passed(1, "private"), [PUBLIC, FdAddress(3)]),
        (passed(1, "app.socket"), [FdAddress(3), PRIVATE]),
        (passed(3, "public:public:private"), [FdAddress(3), FdAddress(5), FdAddress(4)]),
        (passed(2, "public"), [FdAddress(3), FdAddress(4)]),
        (passed(0), [PUBLIC, PRIVATE]),
        (passed(2, pid=1), [PUBLIC, PRIVATE]),
        ({"LISTEN_FDS": "2"}, [PUBLIC, PRIVATE]),
    ],
)
def test_passed_sockets_take_the_place_of_addresses_by_name_then_in_order(
    site: Site, variables: dict[str, str], addresses: list[object]
) -> None:
    site.write(TWO)
    servers = site.load(variables).servers
    assert [server.listen for server in servers] == addresses
    assert [server.backlog for server in servers[:2]] == [5, 6]


def test_a_socket_that_is_named_admin_is_the_admin_listeners(site: Site) -> None:
    site.write(f"{TWO}admin: {{listen: '127.0.0.1:3'}}\n")
    settings = site.load(passed(3, "x:admin:private"))
    assert [server.listen for server in settings.servers] == [FdAddress(3), FdAddress(5)]
    assert settings.admin.listen == FdAddress(4)
    assert site.load(passed(1, "x")).admin.listen == TcpAddress("127.0.0.1", 3)
    site.write("servers: [{name: admin, listen: '127.0.0.1:1'}]")
    settings = site.load(passed(1, "admin"))
    assert (settings.servers[0].listen, settings.admin.listen) == (FdAddress(3), None)


def test_addresses_that_are_named_win_over_passed_sockets(site: Site) -> None:
    site.write(TWO)
    other = TcpAddress("127.0.0.1", 9)
    for environ, overrides in (
        (passed(2), Overrides(listen=("127.0.0.1:9",))),
        ({**passed(2), "SIPHON_LISTEN": "127.0.0.1:9"}, Overrides()),
    ):
        assert [server.listen for server in site.load(environ, overrides).servers] == [other]


@pytest.mark.parametrize("count", ["", "-1", "two", "1001", "99999999999"])
def test_a_wrong_count_is_reported(site: Site, count: str) -> None:
    assert site.problems(passed(count)) == [
        f'LISTEN_FDS: must be a whole number from 0 to 1000, not "{count}"'
    ]


def test_the_variables_are_forgotten() -> None:
    environ = {**passed(1, "a"), "OTHER": "1"}
    forget(environ)
    assert environ == {"OTHER": "1"}
