"""A listener's certificate, its key and its clients' CA, as the ``ssl`` module takes them."""

import ssl
import sys
from datetime import UTC, datetime

from siphon.config.report import quoted
from siphon.config.settings import TlsSettings
from siphon.config.validity import read_validity
from siphon.errors import ConfigError, Problem

# Older ones have bugs where TLS meets several threads.
_PYTHON_MIN = (3, 13, 7)
# For TLS 1.2: an exchange of keys that are forgotten afterwards, and ciphers that authenticate what they
# encrypt. The level refuses RSA keys under 2,048 bits, and SHA-1. TLS 1.3 has no others.
_CIPHERS = "@SECLEVEL=2:ECDHE+AESGCM:ECDHE+CHACHA20"
_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_ENCRYPTED = (b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"Proc-Type: 4,ENCRYPTED")
_PRIVATE_KEY = b"PRIVATE KEY-----"
_MOMENT = "%Y-%m-%d %H:%M:%S UTC"


def server_context(settings: TlsSettings) -> ssl.SSLContext:
    """A fresh context for the connections of one listener: TLS 1.2 and later, ``http/1.1`` by ALPN.

    Reads the files. Raises ConfigError whose problem has the setting at fault as its key, such as
    ``key_path``. Any thread; what it returns is not changed again, so that threads may share it.
    """
    if sys.version_info < _PYTHON_MIN:
        version = ".".join(str(number) for number in sys.version_info[:3])
        wanted = ".".join(str(number) for number in _PYTHON_MIN)
        raise _refusal("", f"TLS needs CPython {wanted} or later, and this is {version}: {sys.executable}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    _load_identity(context, settings)
    if settings.client_ca is not None:
        _load_authorities(context, settings.client_ca, "client_ca")
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def out_of_date(settings: TlsSettings) -> str | None:
    """What is wrong with the dates of a listener's own certificate today, as a sentence; None if nothing.

    Of one that ``server_context`` has taken. Raises ConfigError as that does. Any thread.
    """
    path = settings.cert_path
    try:
        begins, ends = read_validity(_read(path, "cert_path").decode("ascii", "replace"))
    except ValueError as error:
        return f"from when until when the certificate in {quoted(path)} is valid cannot be read: {error}"
    now = datetime.now(UTC)
    if now > ends:
        return f"the certificate in {quoted(path)} has expired, on {ends:{_MOMENT}}: clients refuse it"
    if now < begins:
        return f"the certificate in {quoted(path)} is not valid before {begins:{_MOMENT}}: clients refuse it"
    return None


def _load_identity(context: ssl.SSLContext, settings: TlsSettings) -> None:
    """Loads the certificate and its key, and finds out which is at fault where they cannot be used."""
    certificate, key = settings.cert_path, settings.key_path or settings.cert_path
    # Of no further use: whether these are certificates at all.
    _load_authorities(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), certificate, "cert_path")
    text = _read(key, "key_path")
    if _PRIVATE_KEY not in text:
        hint = "" if settings.key_path else ": give key_path, or put the key into the file of cert_path"
        raise _refusal("key_path", f"{quoted(key)} holds no private key in PEM{hint}")
    if any(mark in text for mark in _ENCRYPTED):
        raise _refusal("key_path", f"the key in {quoted(key)} is encrypted; siphon asks for no passphrase")
    try:
        context.load_cert_chain(certificate, key, password=_no_passphrase)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            problem = f"the key in {quoted(key)} does not belong to the certificate in {quoted(certificate)}"
            raise _refusal("key_path", problem) from error
        if error.library == "SSL" and error.reason:
            raise _refusal("cert_path", f"{quoted(certificate)} cannot be used: {in_words(error)}") from error
        raise _refusal("key_path", f"{quoted(key)} holds no private key that can be used") from error


def _load_authorities(context: ssl.SSLContext, path: str, key: str) -> None:
    if _CERTIFICATE not in _read(path, key):
        raise _refusal(key, f"{quoted(path)} holds no certificate in PEM")
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        why = in_words(error) if error.reason else "its PEM is broken"
        raise _refusal(key, f"{quoted(path)} cannot be used: {why}") from error


def _read(path: str, key: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise _refusal(key, f"cannot read {quoted(path)}: {error.strerror}") from error


def _no_passphrase() -> str:
    """Without this, OpenSSL would ask at the terminal."""
    return ""


def in_words(error: ssl.SSLError) -> str:
    """What OpenSSL found wrong, without its numbers: ``no shared cipher``."""
    detail = getattr(error, "verify_message", "")
    words = (error.reason or type(error).__name__).replace("_", " ").lower()
    return f"{words}: {detail}" if detail else words


def _refusal(key: str, message: str) -> ConfigError:
    return ConfigError([Problem("", key, message)])
