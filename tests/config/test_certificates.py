"""What is wrong with a listener's ``tls`` is a configuration error that names the setting and the file."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest

from siphon.config import certificates as module
from siphon.config.certificates import out_of_date, server_context
from siphon.config.load import Overrides
from siphon.config.settings import TlsSettings
from siphon.errors import ConfigError
from tests.command import HELLO, run, write

if TYPE_CHECKING:
    from pathlib import Path

    from tests.certificates import Certificates
    from tests.config.beside import Site


@pytest.fixture
def files(site: Site, certificates: Certificates) -> Path:
    """The folder of http.yaml, with ``cert.pem``, ``key.pem``, ``both.pem`` and ``ca.pem`` beside it."""
    server = certificates.server
    named = {"cert.pem": server.certificate, "key.pem": server.key, "both.pem": server.combined}
    for name, path in (named | {"ca.pem": certificates.authority.certificate}).items():
        shutil.copy(path, site.directory / name)
    shutil.copy(certificates.client.key, site.directory / "other.key")
    return site.directory


@pytest.mark.parametrize(
    "tls",
    [
        "{cert_path: cert.pem, key_path: key.pem}",
        "{cert_path: both.pem}",
        "{cert_path: both.pem, key_path: both.pem}",
        "{cert_path: '${WHERE:-cert.pem}', key_path: key.pem, client_ca: ca.pem}",
    ],
)
def test_paths_are_taken_from_the_folder_of_the_file(site: Site, files: Path, tls: str) -> None:
    folder = files / "elsewhere"
    folder.mkdir()
    for name in ("cert.pem", "key.pem", "both.pem", "ca.pem"):
        (files / name).rename(folder / name)
    path = site.write(f"servers:\n  - tls: {tls}\n", "elsewhere/http.yaml")
    (listener,) = site.load(config=path).servers
    assert listener.tls is not None
    given = [listener.tls.cert_path, listener.tls.key_path, listener.tls.client_ca]
    assert {str(folder)} == {name.rpartition("/")[0] for name in given if name is not None}


def test_an_absolute_path_stays_as_it_is(site: Site, files: Path) -> None:
    site.write(f"servers:\n  - tls: {{cert_path: {files}/both.pem}}\n")
    assert site.load().servers[0].tls == TlsSettings(f"{files}/both.pem")


def test_without_tls_there_is_none(site: Site) -> None:
    assert site.load().servers[0].tls is None


def test_an_option_takes_the_place_of_the_address_alone(site: Site, files: Path) -> None:
    site.write("servers:\n  - tls: {cert_path: both.pem}\n")
    first, second = site.load(overrides=Overrides(listen=("127.0.0.1:1", "127.0.0.1:2"))).servers
    assert first.tls is not None
    assert second.tls is None


@pytest.mark.parametrize(
    ("tls", "problem"),
    [
        ("", "9: servers[0].tls.cert_path: must be given"),
        ("{}", "10: servers[0].tls.cert_path: must be given"),
        ("{key_path: key.pem}", "10: servers[0].tls.cert_path: must be given"),
        ("cert.pem", '10: servers[0].tls: must be a mapping of settings, not "cert.pem"'),
        ("true", "10: servers[0].tls: must be a mapping of settings, not true"),
        ("{cert_path: 7}", "22: servers[0].tls.cert_path: must be the path of a file, not 7"),
        ("{cert_pth: x}", "11: servers[0].tls.cert_pth: unknown key; did you mean cert_path?"),
        ("{cert_path: ''}", '22: servers[0].tls.cert_path: must be the path of a file, not ""'),
        (
            "{cert_path: nope.pem, key_path: key.pem}",
            '22: servers[0].tls.cert_path: cannot read "nope.pem": No such file or directory',
        ),
        (
            "{cert_path: cert.pem, key_path: nope.pem}",
            '42: servers[0].tls.key_path: cannot read "nope.pem": No such file or directory',
        ),
        (
            "{cert_path: both.pem, client_ca: nope.pem}",
            '43: servers[0].tls.client_ca: cannot read "nope.pem": No such file or directory',
        ),
        (
            "{cert_path: /, key_path: key.pem}",
            '22: servers[0].tls.cert_path: cannot read "/": Is a directory',
        ),
        (
            "{cert_path: key.pem, key_path: key.pem}",
            '22: servers[0].tls.cert_path: "key.pem" holds no certificate in PEM',
        ),
        (
            "{cert_path: cert.pem}",
            '10: servers[0].tls.key_path: "cert.pem" holds no private key in PEM: '
            "give key_path, or put the key into the file of cert_path",
        ),
        (
            "{cert_path: cert.pem, key_path: cert.pem}",
            '42: servers[0].tls.key_path: "cert.pem" holds no private key in PEM',
        ),
        (
            "{cert_path: cert.pem, key_path: other.key}",
            '42: servers[0].tls.key_path: the key in "other.key" '
            'does not belong to the certificate in "cert.pem"',
        ),
        (
            "{cert_path: both.pem, client_ca: key.pem}",
            '43: servers[0].tls.client_ca: "key.pem" holds no certificate in PEM',
        ),
    ],
)
def test_what_cannot_be_used_is_named_with_its_place(site: Site, files: Path, tls: str, problem: str) -> None:
    site.write(f"servers:\n  - tls: {tls}\n")
    assert site.problems() == [f"http.yaml:2:{problem}"]


def test_every_problem_of_every_listener_is_reported(site: Site, files: Path) -> None:
    site.write(
        "servers:\n"
        "  - {listen: '127.0.0.1:1', tls: {cert_path: no.pem, key_path: no.key}}\n"
        "  - {listen: '127.0.0.1:2', tls: {cert_path: cert.pem, key_path: other.key}, backlog: 0}\n"
    )
    problems = site.problems()
    assert [problem.split(": ")[1] for problem in problems] == [
        "servers[0].tls.cert_path",
        "servers[0].tls.key_path",
        "servers[1].tls.key_path",
        "servers[1].backlog",
    ]


def openssl(folder: Path, command: str) -> None:
    subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True, timeout=60)


@pytest.mark.parametrize("kind", ["new", "old"])
def test_an_encrypted_key_is_refused_and_nobody_is_asked(files: Path, kind: str) -> None:
    form = "pkcs8 -topk8" if kind == "new" else "ec -aes256"
    openssl(files, f"{form} -in key.pem -out locked.key -passout pass:secret")
    said = refusal(TlsSettings(str(files / "cert.pem"), str(files / "locked.key")))
    assert said == f'key_path: the key in "{files}/locked.key" is encrypted; siphon asks for no passphrase'


def test_a_key_that_is_too_weak_is_refused(files: Path) -> None:
    openssl(files, "req -x509 -newkey rsa:1024 -nodes -keyout weak.key -out weak.pem -subj /CN=weak -days 2")
    said = refusal(TlsSettings(str(files / "weak.pem"), str(files / "weak.key")))
    assert said == f'cert_path: "{files}/weak.pem" cannot be used: ee key too small'


@pytest.mark.parametrize("key", ["cert_path", "key_path", "client_ca"])
def test_pem_that_is_cut_short_is_refused(files: Path, key: str) -> None:
    named = {"cert_path": "cert.pem", "key_path": "key.pem", "client_ca": "ca.pem"}
    settings = {name: str(files / file) for name, file in named.items()}
    broken = files / named[key]
    broken.write_text("\n".join(broken.read_text().splitlines()[:3]))
    said = refusal(TlsSettings(**settings))
    assert said.startswith(f'{key}: "{broken}" ')
    assert said.endswith(("cannot be used: its PEM is broken", "holds no private key that can be used"))


def refusal(settings: TlsSettings) -> str:
    with pytest.raises(ConfigError) as refused:
        server_context(settings)
    return str(refused.value)


def test_an_older_python_is_refused_with_the_version_that_is_wanted(
    site: Site, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PYTHON_MIN", (99, 1, 2))
    site.write("servers:\n  - tls: {cert_path: both.pem}\n")
    (problem,) = site.problems()
    assert problem.startswith(
        "http.yaml:2:10: servers[0].tls: TLS needs CPython 99.1.2 or later, and this is 3."
    )


def test_a_context_takes_what_a_modern_server_should(files: Path) -> None:
    context = server_context(TlsSettings(str(files / "both.pem"), client_ca=str(files / "ca.pem")))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION


@pytest.mark.parametrize("command", ["serve", "check", "routes"])
def test_every_command_ends_with_2(files: Path, command: str) -> None:
    write(files, "app.py", HELLO)
    write(files, "http.yaml", "servers:\n  - tls: {cert_path: cert.pem, key_path: other.key}\n")
    ran = run(*([] if command == "serve" else [command]), "app.py", cwd=files)
    assert ran.returncode == 2
    assert ran.stderr.startswith("http.yaml:2:42: servers[0].tls.key_path: the key in")


def test_dates_that_cannot_be_read_are_said_to_be_so(tmp_path: Path) -> None:
    path = tmp_path / "cert.pem"
    path.write_text(ssl.DER_cert_to_PEM_cert(b"\x30\x02\x30\x00"))
    said = out_of_date(TlsSettings(str(path)))
    assert said is not None
    assert said.startswith(f'from when until when the certificate in "{path}" is valid cannot be read: ')
