"""A certificate's dates are read as openssl reads them, in every form that they have."""

from __future__ import annotations

import ssl
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from siphon.config.validity import read_validity

if TYPE_CHECKING:
    from pathlib import Path

    from tests.certificates import Certificates

NOW = datetime(2026, 7, 1, 12, 30, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    ("begins", "ends"),
    [
        (datetime(1950, 1, 1, tzinfo=UTC), datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (datetime(2000, 2, 29, tzinfo=UTC), datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (datetime(2050, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (NOW, NOW),
    ],
)
def test_it_is_what_openssl_says(certificates: Certificates, begins: datetime, ends: datetime) -> None:
    identity = certificates.authority.issue("dated", "DNS:localhost", valid=(begins, ends))
    assert read_validity(identity.certificate.read_text()) == (begins, ends)
    assert told_by_openssl(identity.certificate) == (begins, ends)


def test_of_several_certificates_it_is_the_first_whatever_stands_around_it(
    certificates: Certificates,
) -> None:
    identity = certificates.authority.issue("dated", "DNS:localhost", valid=(NOW, NOW))
    text = "".join(
        [
            identity.key.read_text(),
            "Subject: CN=dated, \u00e4\n",
            identity.certificate.read_text().replace("\n", "\r\n"),
            certificates.authority.certificate.read_text(),
        ]
    )
    assert read_validity(text) == (NOW, NOW)


def test_a_certificate_of_version_1_says_nothing_of_its_version(
    certificates: Certificates, tmp_path: Path
) -> None:
    der = ssl.PEM_cert_to_DER_cert(certificates.server.certificate.read_text())
    # Two headers, of what is signed and of what is in it, each with its length in two octets.
    assert (der[:2], der[4:6], der[8:13]) == (b"\x30\x82", b"\x30\x82", b"\xa0\x03\x02\x01\x02")
    lengths = [int.from_bytes(der[at : at + 2]) - 5 for at in (2, 6)]
    old = b"".join([b"\x30\x82" + length.to_bytes(2) for length in lengths]) + der[13:]
    (tmp_path / "old.pem").write_text(ssl.DER_cert_to_PEM_cert(old))
    assert read_validity(ssl.DER_cert_to_PEM_cert(old)) == told_by_openssl(tmp_path / "old.pem")


@pytest.mark.parametrize("damage", [slice(0, 40), slice(0, 3), slice(1), slice(4, None)])
def test_what_cannot_be_read_is_a_value_error(certificates: Certificates, damage: slice) -> None:
    der = ssl.PEM_cert_to_DER_cert(certificates.server.certificate.read_text())
    with pytest.raises(ValueError):  # noqa: PT011 - which fault it is says little
        read_validity(ssl.DER_cert_to_PEM_cert(der[damage]))


def told_by_openssl(certificate: Path) -> tuple[datetime, datetime]:
    command = ["openssl", "x509", "-noout", "-startdate", "-enddate", "-in", str(certificate)]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    begins, ends = [
        datetime.fromtimestamp(ssl.cert_time_to_seconds(line.partition("=")[2]), UTC)
        for line in said.splitlines()
    ]
    return begins, ends
