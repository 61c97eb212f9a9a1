"""TLS contexts of clients: configured once, and never changed afterwards."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from siphon.config.settings import ClientSettings

HTTP2: Final = "h2"
_PROTOCOLS: Final = (HTTP2, "http/1.1")


class UnusableTls(Exception):
    """The client's own certificates cannot be used; the message names the file and what is wrong with it."""


def make_context(settings: ClientSettings) -> ssl.SSLContext:
    """The context of a client's https connections. Reads its files.

    Raises UnusableTls.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(_PROTOCOLS)
    if settings.verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif settings.verify is True:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        _load_roots(context, settings.verify)
    if settings.cert is not None:
        _load_identity(context, settings.cert, settings.key)
    return context


def _load_roots(context: ssl.SSLContext, file: str) -> None:
    try:
        context.load_verify_locations(cafile=file)
    except OSError as error:
        raise UnusableTls(f"verify: {file} is no file of CA certificates in PEM: {_reason(error)}") from error


def _load_identity(context: ssl.SSLContext, cert: str, key: str | None) -> None:
    try:
        # A key with a passphrase would make OpenSSL ask at the terminal.
        context.load_cert_chain(cert, key, password="")
    except OSError as error:
        files = cert if key is None else f"{cert} and {key}"
        raise UnusableTls(
            f"cert: {files} hold no certificate and its key in PEM, without a passphrase: {_reason(error)}"
        ) from error


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not understood").lower().replace("_", " ")
    return error.strerror or str(error)
