"""Settings from a mapping, as tests give them."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from siphon.config.mapping import settings_from
from siphon.config.settings import Settings
from siphon.errors import ConfigError


def problems(given: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        settings_from(given, "config")
    return [str(problem) for problem in caught.value.problems]


def test_nothing_gives_the_defaults() -> None:
    assert settings_from({}, "config") == Settings()


def test_what_is_given_is_taken_over_as_from_a_file() -> None:
    settings = settings_from(
        {
            "servers": [{"name": "public", "max_body_bytes": 3, "trusted_proxies": ("10.0.0.0/8",)}],
            "clients": {"api": {"base_url": "http://api", "verify": "no/such/file.pem", "retries": 2}},
            "log": None,
        },
        "config",
    )
    (server,) = settings.servers
    assert (server.name, server.max_body_bytes) == ("public", 3)
    assert server.trusted_proxies == (ip_network("10.0.0.0/8"),)
    assert server.request_timeout_ms == 30_000
    assert (settings.clients["api"].verify, settings.clients["api"].retries) == ("no/such/file.pem", 2)


def test_every_problem_is_reported_under_its_key() -> None:
    assert problems({"servers": [{"max_body_bytes": -1}, {"names": "x"}], "threads": 7}) == [
        "config: servers[0].max_body_bytes: must be a whole number from 0 up, not -1",
        "config: servers[1].names: unknown key; did you mean name?",
        "config: threads: must be a mapping of settings, not 7",
    ]


@pytest.mark.parametrize("given", [{"servers": [{"name": object()}]}, {7: "x"}, {"log": {b"level": "info"}}])
def test_what_no_file_can_say_is_a_type_error(given: dict[Any, Any]) -> None:
    with pytest.raises(TypeError):
        settings_from(given, "config")
