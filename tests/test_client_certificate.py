"""A client's certificate as scripts see it: names escaped as RFC 4514 wants, nothing lost."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from siphon.client_certificate import ClientCertificate, read_certificate

type Name = tuple[tuple[tuple[str, str], ...], ...]


def one(kind: str, value: str) -> tuple[tuple[str, str], ...]:
    return ((kind, value),)


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        ((), ""),
        ((one("commonName", "alice"),), "CN=alice"),
        (
            (
                one("countryName", "DE"),
                one("organizationName", "Example"),
                one("organizationalUnitName", "x"),
                one("commonName", "a"),
            ),
            "CN=a,OU=x,O=Example,C=DE",
        ),
        ((one("domainComponent", "org"), one("domainComponent", "example")), "DC=example,DC=org"),
        ((one("emailAddress", "a@b.c"),), "emailAddress=a@b.c"),
        ((one("1.2.3.4", "v"),), "1.2.3.4=v"),
        (((("commonName", "a"), ("userId", "7")),), "CN=a+UID=7"),
        ((one("commonName", 'a,b+c"d\\e<f>g;h'),), 'CN=a\\,b\\+c\\"d\\\\e\\<f\\>g\\;h'),
        ((one("commonName", "a,O=Forged"), one("organizationName", "Real")), "O=Real,CN=a\\,O=Forged"),
        ((one("commonName", " a "),), "CN=\\ a\\ "),
        ((one("commonName", "#a#"),), "CN=\\#a#"),
        ((one("commonName", " "),), "CN=\\ "),
        ((one("commonName", ""),), "CN="),
        ((one("commonName", "a\0b"),), "CN=a\\00b"),
        ((one("commonName", "Zoë = x"),), "CN=Zoë = x"),
    ],
)
def test_a_subject_is_written_as_rfc_4514_says(subject: Name, text: str) -> None:
    assert read_certificate({"subject": subject}, b"").subject == text


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("DNS", "a.example", "DNS:a.example"),
        ("email", "a@b.c", "email:a@b.c"),
        ("URI", "spiffe://example.org/a", "URI:spiffe://example.org/a"),
        ("IP Address", "10.0.0.1", "IP:10.0.0.1"),
        ("IP Address", "0:0:0:0:0:0:0:1", "IP:::1"),
        ("IP Address", "2001:DB8:0:0:0:0:0:1\n", "IP:2001:db8::1"),
        ("Registered ID", "1.2.3.4", "RID:1.2.3.4"),
        ("othername", "UPN:a@b", "otherName:UPN:a@b"),
        ("DirName", (one("countryName", "DE"), one("commonName", "a,b")), "dirName:CN=a\\,b,C=DE"),
    ],
)
def test_an_alternative_name_says_its_kind(kind: str, value: Any, text: str) -> None:
    assert read_certificate({"subjectAltName": ((kind, value),)}, b"").sans == (text,)


def test_the_fingerprint_is_the_sha_256_of_the_whole() -> None:
    assert read_certificate({}, b"der") == ClientCertificate("", (), sha256(b"der").hexdigest())
