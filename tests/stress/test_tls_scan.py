"""What a scanner says of a TLS listener that it has never seen: nmap's own judgement of its ciphers."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.stress.test_closing import SCRIPT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.certificates import Certificates
    from tests.service import Service

pytestmark = pytest.mark.stress


def test_nmap_finds_strong_ciphers_and_nothing_to_warn_of(
    storm: Callable[..., Service],
    certificates: Certificates,
    note: Callable[..., None],
    full: bool,
) -> None:
    if not full:
        pytest.skip("nmap is installed by make stress")
    program = shutil.which("nmap")
    if program is None:
        pytest.fail("there is no nmap: run scripts/apt.sh stress")
    service = storm(SCRIPT, tls=certificates.server_settings(), keep_alive_timeout_ms=60_000)
    scripts = (
        "ssl-enum-ciphers,ssl-cert,ssl-ccs-injection,ssl-dh-params,ssl-heartbleed,ssl-poodle,sslv2-drown"
    )
    run = subprocess.run(
        [program, "-Pn", "-n", "-p", str(service.port), "--script", scripts, "127.0.0.1"],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    report = run.stdout
    assert re.findall(r"^\|   (SSLv\d|TLSv[\d.]+):", report, re.MULTILINE) == ["TLSv1.2", "TLSv1.3"], report
    assert "least strength: A" in report, report
    assert set(re.findall(r" - ([A-F])$", report, re.MULTILINE)) == {"A"}, report
    for complaint in ("warnings:", "VULNERABLE", "ERROR"):
        assert complaint not in report, report
    note(ciphers=len(re.findall(r"^\|       TLS_", report, re.MULTILINE)), grade="A")
