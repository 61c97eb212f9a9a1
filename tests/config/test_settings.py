"""Every setting: its range, its wrong types, its documentation."""

from dataclasses import fields
from typing import Any

import pytest

from siphon.config.check import ListOf, MapOf, Section, Whole, settings_of
from siphon.config.settings import (
    ClientSettings,
    ListenerSettings,
    LogSettings,
    Settings,
    ThreadSettings,
    TlsSettings,
)
from tests.config.beside import Site

_INT_MAX = 2_147_483_647
_SECTIONS: dict[str, type[Any]] = {
    "": Settings,
    "servers[0]": ListenerSettings,
    "servers[0].tls": TlsSettings,
    "threads": ThreadSettings,
    "clients.api": ClientSettings,
    "log": LogSettings,
}

_RANGES: list[tuple[str, str, int, int | None]] = [
    ("", "max_buffered_bytes", 0, None),
    ("", "shutdown_timeout_ms", 1, _INT_MAX),
    ("", "shutdown_delay_ms", 0, _INT_MAX),
    ("servers[0]", "max_body_bytes", 0, None),
    ("servers[0]", "request_timeout_ms", 1, _INT_MAX),
    ("servers[0]", "max_header_bytes", 256, 1_048_576),
    ("servers[0]", "max_headers", 1, 10_000),
    ("servers[0]", "max_target_bytes", 64, 1_048_576),
    ("servers[0]", "header_timeout_ms", 1, _INT_MAX),
    ("servers[0]", "min_body_bytes_per_s", 1, _INT_MAX),
    ("servers[0]", "body_grace_ms", 1, _INT_MAX),
    ("servers[0]", "write_timeout_ms", 1, _INT_MAX),
    ("servers[0]", "keep_alive_timeout_ms", 1, _INT_MAX),
    ("servers[0]", "keep_alive_requests", 1, _INT_MAX),
    ("servers[0]", "max_connections", 1, 1_000_000),
    ("servers[0]", "backlog", 1, 65_535),
    ("threads", "acceptors", 1, 64),
    ("threads", "secure", 1, 64),
    ("threads", "loops", 1, 1_024),
    ("threads", "blocking_min", 1, 10_000),
    ("threads", "blocking_max", 1, 10_000),
    ("threads", "blocking_queue_max", 1, 1_000_000),
    ("threads", "client_max", 1, 10_000),
    ("threads", "max_in_flight", 1, 1_000_000),
    ("threads", "stall_after_ms", 0, _INT_MAX),
    ("clients.api", "timeout_ms", 1, _INT_MAX),
    ("clients.api", "pool_size", 1, 10_000),
    ("clients.api", "max_response_bytes", 0, None),
    ("clients.api", "retries", 0, 100),
]
_FLAGS = [
    ("servers[0]", "cancel_on_disconnect"),
    ("servers[0]", "proxy_protocol"),
    ("servers[0]", "reuse_port"),
    ("servers[0]", "server_header"),
    ("clients.api", "http2_prior_knowledge"),
    ("clients.api", "decode"),
    ("clients.api", "follow_redirects"),
    ("clients.api", "trust_env"),
    ("log", "access"),
]


def put(site: Site, section: str, key: str, value: str) -> tuple[str, str]:
    """Writes a file that sets one key; the place and the dotted path that a problem with it names."""
    room = "blocking_max: 10000" if key == "blocking_min" else ""
    match section:
        case "":
            site.write(f"{key}: {value}\n")
            return f"http.yaml:1:{len(key) + 3}", key
        case "servers[0]":
            site.write(f"servers:\n  - {key}: {value}\n")
            return f"http.yaml:2:{len(key) + 7}", f"servers[0].{key}"
        case "clients.api":
            site.write(f"clients:\n  api:\n    {key}: {value}\n")
            return f"http.yaml:3:{len(key) + 7}", f"clients.api.{key}"
        case _:
            site.write(f"{section}:\n  {key}: {value}\n  {room}\n")
            return f"http.yaml:2:{len(key) + 5}", f"{section}.{key}"


def got(settings: Settings, section: str, key: str) -> object:
    """The value of one setting."""
    holder = {
        "": settings,
        "servers[0]": settings.servers[0],
        "threads": settings.threads,
        "clients.api": settings.clients.get("api"),
        "log": settings.log,
    }
    return getattr(holder[section], key)


@pytest.mark.parametrize(("section", "key", "low", "high"), _RANGES)
def test_a_number_is_taken_up_to_both_ends_of_its_range(
    site: Site, section: str, key: str, low: int, high: int | None
) -> None:
    for number in (low, 10**15 if high is None else high):
        put(site, section, key, str(number))
        assert got(site.load(), section, key) == number


@pytest.mark.parametrize(("section", "key", "low", "high"), _RANGES)
def test_a_number_past_its_range_is_refused(
    site: Site, section: str, key: str, low: int, high: int | None
) -> None:
    wants = f"from {low} up" if high is None else f"from {low} to {high}"
    for number in [low - 1] + ([] if high is None else [high + 1]):
        place, path = put(site, section, key, str(number))
        assert site.problems() == [f"{place}: {path}: must be a whole number {wants}, not {number}"]


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("true", "true"),
        ("1.0", "1.0"),
        ('"8"', '"8"'),
        ("many", '"many"'),
        ("", "empty"),
        ("[8]", "a list"),
        ("[]", "an empty list"),
        ("{a: 8}", "a mapping"),
        ("x" * 200, '"' + "x" * 57 + '..."'),
    ],
)
@pytest.mark.parametrize(("section", "key"), [row[:2] for row in _RANGES])
def test_what_is_no_whole_number_is_refused(
    site: Site, section: str, key: str, value: str, named: str
) -> None:
    place, path = put(site, section, key, value)
    (problem,) = site.problems()
    assert problem.startswith(f"{place}: {path}: must be a whole number from ") or value == ""
    assert problem.endswith(f", not {named}")


@pytest.mark.parametrize(("section", "key"), _FLAGS)
def test_a_flag_is_true_or_false_and_nothing_else(site: Site, section: str, key: str) -> None:
    for value, meant in (("true", True), ("no", False)):
        put(site, section, key, value)
        assert got(site.load(), section, key) is meant
    for value, named in (("1", "1"), ('"true"', '"true"'), ("maybe", '"maybe"')):
        place, path = put(site, section, key, value)
        assert site.problems() == [f"{place}: {path}: must be true or false, not {named}"]


@pytest.mark.parametrize(
    ("value", "level"),
    [("debug", "debug"), ("INFO", "info"), ("warn", "warning"), ("warning", "warning"), ("error", "error")],
)
def test_a_log_level_is_taken(site: Site, value: str, level: str) -> None:
    put(site, "log", "level", value)
    assert site.load().log.level == level


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("log", "level", "loud", 'must be one of debug, info, warning, error, not "loud"'),
        ("log", "level", "off", "must be one of debug, info, warning, error, not false"),
        ("log", "format", "xml", 'must be one of text, json, not "xml"'),
        ("servers[0]", "name", "12", "must be text, not 12: put quotes round it"),
        ("servers[0]", "name", "yes", "must be text, not true: put quotes round it"),
        ("servers[0]", "name", "''", 'must be text, not ""'),
        ("servers[0]", "name", "", "must be text, not empty"),
        ("servers[0]", "name", "[a]", "must be text, not a list"),
        (
            "servers[0]",
            "listen",
            "8080",
            'must be an address such as "127.0.0.1:8080", "[::1]:8080" or "unix:/run/siphon.sock", not 8080',
        ),
        (
            "servers[0]",
            "listen",
            "localhost",
            '"localhost" has no port: write host:port, such as localhost:8080',
        ),
        ("servers[0]", "trusted_proxies", "10.0.0.1", 'must be a list, not "10.0.0.1"'),
        ("", "servers", "[]", "must be a list with at least one entry, not an empty list"),
        ("", "servers", "", "must be a list with at least one entry, not empty"),
        ("", "servers", "{a: 1}", "must be a list with at least one entry, not a mapping"),
        ("", "threads", "4", "must be a mapping of settings, not 4"),
        ("", "log", "[level]", "must be a mapping of settings, not a list"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(
    site: Site, section: str, key: str, value: str, message: str
) -> None:
    place, path = put(site, section, key, value)
    (problem,) = site.problems()
    assert problem.endswith(f": {path}: {message}")
    assert problem.startswith(place) or value == ""


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("127.0.0.1", "127.0.0.1/32"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("::1", "::1/128"),
        ("fd00::/8", "fd00::/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
    ],
)
def test_a_trusted_proxy_is_an_address_or_a_network(site: Site, text: str, network: str) -> None:
    site.write(f"servers:\n  - trusted_proxies:\n    - '{text}'\n")
    assert [str(one) for one in site.load().servers[0].trusted_proxies] == [network]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            "10.1.2.3/8",
            '"10.1.2.3/8" has bits set past its prefix: '
            "write 10.0.0.0/8 for the network or 10.1.2.3 for the one address",
        ),
        ("10.0.0.0/33", 'must be an IP address or a network such as "10.0.0.0/8", not "10.0.0.0/33"'),
        ("proxy", 'must be an IP address or a network such as "10.0.0.0/8", not "proxy"'),
        ("5", 'must be an IP address or a network such as "10.0.0.0/8", not 5'),
        ("[]", 'must be an IP address or a network such as "10.0.0.0/8", not an empty list'),
    ],
)
def test_a_wrong_trusted_proxy_is_reported_at_its_own_place(site: Site, value: str, message: str) -> None:
    site.write(f"servers:\n  - trusted_proxies:\n    - '::1'\n    - {value}\n")
    assert site.problems() == [f"http.yaml:4:7: servers[0].trusted_proxies[1]: {message}"]


def test_the_tables_here_leave_out_no_number_and_no_flag() -> None:
    tested = {row[:2] for row in _RANGES} | set(_FLAGS)
    for section, of in _SECTIONS.items():
        for name, setting in settings_of(of).items():
            if isinstance(setting.check, Whole) or setting.check.wants == "true or false":
                assert (section, name) in tested


@pytest.mark.parametrize("of", _SECTIONS.values())
def test_every_field_is_a_setting_with_one_line_of_documentation(of: type[Any]) -> None:
    documented = settings_of(of)
    assert list(documented) == [field.name for field in fields(of)]
    for setting in documented.values():
        assert setting.doc.endswith(".")
        assert "\n" not in setting.doc


@pytest.mark.parametrize("of", _SECTIONS.values())
def test_every_default_passes_its_own_check(of: type[Any]) -> None:
    settings = settings_of(of)
    required = {name: "given" for name, setting in settings.items() if setting.required}
    for name, setting in settings.items():
        default = getattr(of(**required), name)
        if (
            default is not None
            and not isinstance(setting.check, Section | ListOf | MapOf)
            and name != "listen"
        ):
            assert setting.check.parse(default) == default
