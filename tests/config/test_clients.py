"""The ``clients`` of ``http.yaml``: what they may say, and where their files are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from siphon.config.settings import ClientSettings

if TYPE_CHECKING:
    from tests.config.beside import Site


def test_clients_alone_are_a_valid_configuration(site: Site) -> None:
    site.write("clients:\n  api: {base_url: 'https://a.example/v1', pool_size: 3}\n  any:\n")
    settings = site.load()
    assert settings.clients["api"] == ClientSettings(base_url="https://a.example/v1", pool_size=3)
    assert settings.clients["any"] == ClientSettings()
    assert len(settings.servers) == 1


def test_files_of_a_client_are_taken_from_the_folder_of_the_configuration(site: Site) -> None:
    (site.directory / "tls").mkdir()
    (site.directory / "tls" / "ca.pem").touch()
    site.write("clients: {api: {verify: tls/ca.pem}, open: {verify: false}}\n")
    settings = site.load()
    assert settings.clients["api"].verify == "tls/ca.pem"
    assert settings.clients["open"].verify is False


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "clients: []\n",
            "http.yaml:1:10: clients: must be a mapping of names to settings, not an empty list",
        ),
        ("clients: {api: 5}\n", "http.yaml:1:16: clients.api: must be a mapping of settings, not 5"),
        ("clients: {api: {urls: x}}\n", "http.yaml:1:17: clients.api.urls: unknown key"),
        (
            "clients: {api: {time_out_ms: 5}}\n",
            "clients.api.time_out_ms: unknown key; did you mean timeout_ms?",
        ),
        (
            "clients: {api: {base_url: a.example}}\n",
            "clients.api.base_url: 'a.example' is no http or https URL",
        ),
        ("clients: {api: {base_url: 5}}\n", 'clients.api.base_url: must be a URL such as "https://api'),
        ("clients: {api: {verify: none.pem}}\n", "http.yaml:1:25: clients.api.verify: cannot read"),
        (
            "clients: {api: {verify: 5}}\n",
            "clients.api.verify: must be the path of a file, or true or false, not 5",
        ),
        ("clients: {api: {key: k.pem}}\n", "clients.api.key: belongs to a certificate: give cert as well"),
        ("clients: {api: {}, api: {}}\n", "http.yaml:1:20: clients.api: duplicate key"),
    ],
)
def test_a_wrong_client_is_reported_with_its_place(site: Site, text: str, problem: str) -> None:
    site.write(text)
    assert any(problem in found for found in site.problems())
