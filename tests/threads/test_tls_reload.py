"""SIGHUP: new certificates for new connections, and not one connection less."""

from __future__ import annotations

import os
import shutil
import signal
import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.client import Client
from tests.command import Command, write
from tests.tls_socket import TlsSocket

if TYPE_CHECKING:
    from pathlib import Path

    from tests.certificates import Certificates, Identity

SCRIPT = """
from siphon import http

@http.route("/")
async def hello(req):
    return http.Response(body=str(req.client_cert and req.client_cert.subject))

@http.on_startup
async def told():
    import os, signal
    if os.path.exists("hangup"):
        os.kill(os.getpid(), signal.SIGHUP)
"""


class Site:
    """A folder with a script and a listener's certificate, key and clients' CA, which can be changed."""

    def __init__(self, folder: Path, certificates: Certificates, *, mutual: bool = False) -> None:
        self.folder = folder
        self.certificates = certificates
        tls = "{cert_path: tls/cert.pem, key_path: tls/key.pem" + (
            ", client_ca: tls/ca.pem}" if mutual else "}"
        )
        (folder / "tls").mkdir()
        write(folder, "app.py", SCRIPT)
        write(folder, "http.yaml", f"servers:\n  - {{listen: '127.0.0.1:0', tls: {tls}}}\n")
        self.put(certificates.server, certificates.authority.certificate)

    def put(self, identity: Identity, ca: Path | None = None) -> None:
        """Changes the files, each in one step, as a tool that renews certificates does."""
        parts = {"cert.pem": identity.certificate, "key.pem": identity.key, "ca.pem": ca}
        for name, path in parts.items():
            if path is not None:
                shutil.copy(path, self.folder / "tls" / f"{name}.new")
                os.replace(self.folder / "tls" / f"{name}.new", self.folder / "tls" / name)

    def connect(self, command: Command, identity: Identity | None = None) -> Client:
        """A connection over TLS."""
        return Client(("127.0.0.1", command.ports[0]), tls=self.certificates.client_context(identity))


def shown(client: Client) -> bytes | None:
    """The certificate that the server has shown on a connection."""
    assert isinstance(client.sock, TlsSocket)
    return client.sock.tls.getpeercert(binary_form=True)


def der(identity: Identity) -> bytes:
    return ssl.PEM_cert_to_DER_cert(identity.certificate.read_text())


@pytest.fixture
def renewed(certificates: Certificates) -> Identity:
    """The same server's next certificate."""
    return certificates.authority.issue("renewed", "DNS:localhost", "IP:127.0.0.1")


def test_new_connections_get_the_new_certificate_and_old_ones_go_on(
    tmp_path: Path, certificates: Certificates, renewed: Identity
) -> None:
    site = Site(tmp_path, certificates)
    with Command("app.py", cwd=tmp_path).started() as command:
        assert "  listening on https://127.0.0.1:" in command.banner
        assert ": 0 acceptors, 1 secure, " in command.banner
        with site.connect(command) as old:
            assert old.get("/").status == 200
            site.put(renewed)
            command.signal(signal.SIGHUP)
            command.log_until("the certificate has been read again")
            with site.connect(command) as new:
                assert shown(new) == der(renewed)
                assert new.get("/").status == 200
            assert shown(old) == der(certificates.server)
            assert old.get("/").status == 200
        command.signal(signal.SIGTERM)
        assert command.ended()[0] == 0


@pytest.mark.parametrize("fault", ["mismatch", "missing", "garbage"])
def test_a_bad_certificate_is_logged_and_the_old_one_stays(
    tmp_path: Path, certificates: Certificates, renewed: Identity, fault: str
) -> None:
    site = Site(tmp_path, certificates)
    with Command("app.py", cwd=tmp_path).started() as command, site.connect(command) as old:
        key = tmp_path / "tls" / "key.pem"
        if fault == "mismatch":
            shutil.copy(renewed.key, key)
            said = "does not belong to the certificate in"
        elif fault == "missing":
            key.unlink()
            said = f'tls.key_path: cannot read "{key}": No such file or directory'
        else:
            key.write_text("nothing")
            said = f'tls.key_path: "{key}" holds no private key in PEM'
        command.signal(signal.SIGHUP)
        lines = command.log_until("keeps the certificate that it has")
        assert said.replace(f"{tmp_path}/", "") in lines.replace(f"{tmp_path}/", "")
        assert " error " in lines
        assert old.get("/").status == 200
        with site.connect(command) as new:
            assert shown(new) == der(certificates.server)
            assert new.get("/").status == 200
        # Mended, it is taken.
        site.put(renewed)
        command.signal(signal.SIGHUP)
        command.log_until("the certificate has been read again")
        with site.connect(command) as new:
            assert shown(new) == der(renewed)


def test_a_reload_changes_whom_the_listener_trusts(tmp_path: Path, certificates: Certificates) -> None:
    site = Site(tmp_path, certificates, mutual=True)
    stranger = certificates.stranger
    command = Command("app.py", cwd=tmp_path).started()
    with command, site.connect(command, certificates.client) as old:
        assert old.get("/").body == b"CN=test client"
        site.put(certificates.server, stranger.certificate.parent / "ca.pem")
        command.signal(signal.SIGHUP)
        command.log_until("the certificate has been read again")
        with site.connect(command, stranger) as new:
            assert new.get("/").body == b"CN=stranger"
        with pytest.raises(ssl.SSLError), site.connect(command, certificates.client) as refused:
            refused.get("/")
        assert old.get("/").body == b"CN=test client"


def test_a_hangup_during_the_start_reloads_and_does_not_stop(
    tmp_path: Path, certificates: Certificates
) -> None:
    site = Site(tmp_path, certificates)
    write(tmp_path, "hangup", "")
    with Command("app.py", cwd=tmp_path).started() as command:
        command.log_until("the certificate has been read again")
        with site.connect(command) as client:
            assert client.get("/").status == 200


@pytest.mark.parametrize(
    ("days", "said"),
    [
        ((-2, -1), "has expired, on {ends:%Y-%m-%d %H:%M:%S} UTC: clients refuse it"),
        ((1, 2), "is not valid before {begins:%Y-%m-%d %H:%M:%S} UTC: clients refuse it"),
    ],
)
def test_a_certificate_that_is_out_of_date_is_warned_of_once_at_the_start_and_after_a_reload(
    tmp_path: Path, certificates: Certificates, renewed: Identity, days: tuple[int, int], said: str
) -> None:
    begins, ends = [datetime.now(UTC) + timedelta(days=day) for day in days]
    wrong = certificates.authority.issue("wrong", "DNS:localhost", valid=(begins, ends))
    warning = f'cert.pem" {said.format(begins=begins, ends=ends)}'
    site = Site(tmp_path, certificates)
    site.put(wrong)
    with Command("app.py", cwd=tmp_path).started() as command:
        anybody = certificates.client_context()
        anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
        with Client(("127.0.0.1", command.ports[0]), tls=anybody) as client:
            assert client.get("/").status == 200
        command.signal(signal.SIGHUP)
        lines = command.log_until("the certificate has been read again").splitlines()
        warnings = [line for line in lines if " warning the listener on 127.0.0.1:0: " in line]
        assert [warning in line for line in warnings] == [True, True]
        site.put(renewed)
        command.signal(signal.SIGHUP)
        assert "clients refuse it" not in command.log_until("the certificate has been read again")
        command.signal(signal.SIGTERM)
        code, _, log = command.ended()
    assert (code, "clients refuse it" in log) == (0, False)


def test_without_tls_a_hangup_ends_the_process(tmp_path: Path) -> None:
    write(tmp_path, "app.py", SCRIPT)
    with Command("app.py", "--listen", "127.0.0.1:0", cwd=tmp_path).started() as command:
        command.signal(signal.SIGHUP)
        assert command.ended()[0] == -signal.SIGHUP
