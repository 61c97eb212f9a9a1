"""Certificates for tests, made by the openssl command: no package for it, and no key in the repository."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from siphon.config.settings import TlsSettings

if TYPE_CHECKING:
    from pathlib import Path

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_AUTHORITY = """\
[ca]
default_ca = authority
[authority]
database = {folder}/database
new_certs_dir = {folder}
certificate = {folder}/ca.pem
private_key = {folder}/ca.key
default_md = sha256
rand_serial = yes
unique_subject = no
policy = any
[any]
commonName = supplied
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


@dataclass(frozen=True)
class Identity:
    """A certificate, its private key, and one PEM file with both."""

    certificate: Path
    key: Path
    combined: Path

    @property
    def pair(self) -> tuple[str, str]:
        """The certificate's and the key's paths, as ``ssl`` and ``http.Client(cert=...)`` take them."""
        return str(self.certificate), str(self.key)


class Authority:
    """A certificate authority in a folder of its own; ``certificate`` is what its clients trust."""

    def __init__(self, folder: Path, name: str = "siphon test authority") -> None:
        folder.mkdir()
        self._folder = folder
        self._config = folder / "ca.cnf"
        self._config.write_text(_AUTHORITY.format(folder=folder))
        (folder / "database").touch()
        self.certificate = folder / "ca.pem"
        _openssl(
            *("req", "-x509", *_KEY, "-keyout", folder / "ca.key", "-out", self.certificate),
            *("-config", _empty(folder), "-subj", f"/CN={name}", "-days", "30"),
            *("-addext", "basicConstraints=critical,CA:TRUE"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
            *("-addext", "subjectKeyIdentifier=hash"),
        )

    def issue(
        self,
        name: str,
        *alternative_names: str,
        client: bool = False,
        expired: bool = False,
        valid: tuple[datetime, datetime] | None = None,
    ) -> Identity:
        """Signs a new key for the subject ``CN=name``; a second call with one name replaces the files.

        ``alternative_names``: such as ``DNS:localhost`` or ``IP:127.0.0.1``. ``client``: for a client
        rather than a server. ``expired``: it was valid until yesterday. ``valid``: from then until then.
        """
        stem = self._folder / name.replace(" ", "-")
        found = Identity(stem.with_suffix(".pem"), stem.with_suffix(".key"), stem.with_suffix(".both.pem"))
        request = stem.with_suffix(".csr")
        _openssl(
            *("req", "-new", *_KEY, "-keyout", found.key, "-out", request),
            *("-config", _empty(self._folder), "-subj", f"/CN={name}"),
        )
        lines = [f"extendedKeyUsage = {'clientAuth' if client else 'serverAuth'}"]
        if alternative_names:
            lines.append(f"subjectAltName = {', '.join(alternative_names)}")
        config = stem.with_suffix(".cnf")
        config.write_text("\n".join([_AUTHORITY.format(folder=self._folder), *lines, ""]))
        today = datetime.now(UTC)
        begins, ends = valid or (today - timedelta(days=2), today + timedelta(days=-1 if expired else 20))
        _openssl(
            *("ca", "-batch", "-notext", "-config", config, "-extensions", "leaf"),
            *("-in", request, "-out", found.certificate),
            *("-startdate", _moment(begins), "-enddate", _moment(ends)),
        )
        found.combined.write_bytes(found.key.read_bytes() + found.certificate.read_bytes())
        return found


class Certificates:
    """What tests of TLS need, each made when it is first asked for. One thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def authority(self) -> Authority:
        """Who has signed all of these but ``stranger``; clients and servers trust it."""
        return Authority(self._folder / "authority")

    def server_settings(self, identity: Identity | None = None, *, mutual: bool = False) -> TlsSettings:
        """The ``tls`` of a listener, ``server`` unless told otherwise; ``mutual``: clients show theirs."""
        identity = identity or self.server
        client_ca = str(self.authority.certificate) if mutual else None
        return TlsSettings(*identity.pair, client_ca)

    def client_context(self, identity: Identity | None = None) -> ssl.SSLContext:
        """What a client speaks TLS with, that trusts ``authority`` and is ``identity`` if it must say so."""
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        if identity is not None:
            context.load_cert_chain(*identity.pair)
        return context

    @cached_property
    def server(self) -> Identity:
        """A server that is localhost, 127.0.0.1 and ::1."""
        return self.authority.issue("localhost", "DNS:localhost", "IP:127.0.0.1", "IP:::1")

    @cached_property
    def expired(self) -> Identity:
        """The same server, until yesterday."""
        return self.authority.issue("expired", "DNS:localhost", "IP:127.0.0.1", expired=True)

    @cached_property
    def other_host(self) -> Identity:
        """A server that is somewhere else: other.example."""
        return self.authority.issue("other.example", "DNS:other.example")

    @cached_property
    def client(self) -> Identity:
        """A client called ``test client``, with a name, an address and a URI."""
        names = ("DNS:client.example", "email:client@example.org", "URI:spiffe://example.org/client")
        return self.authority.issue("test client", *names, client=True)

    @cached_property
    def stranger(self) -> Identity:
        """A client whose authority nobody trusts."""
        return Authority(self._folder / "stranger", "an unknown authority").issue("stranger", client=True)


def _empty(folder: Path) -> Path:
    """A configuration that adds nothing: the system's own may add extensions."""
    path = folder / "request.cnf"
    path.write_text("[req]\ndistinguished_name = name\n[name]\n")
    return path


def _moment(when: datetime) -> str:
    return when.strftime("%Y%m%d%H%M%SZ")


def _openssl(*arguments: str | Path) -> None:
    command = ["openssl", *[str(argument) for argument in arguments]]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"
