"""What went wrong with a call, as the error that the script sees: the one edge where others' become ours."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

from siphon.client.call import CONNECTING, IN_LINE, LOOKING_UP, SHAKING_HANDS
from siphon.client.tls import UnusableTls
from siphon.errors import ClientError, ConnectError, ProtocolError, ResponseRefused, TLSError

if TYPE_CHECKING:
    from siphon.client.call import Call

_BEFORE_THE_REQUEST: Final = frozenset({IN_LINE, LOOKING_UP, CONNECTING, SHAKING_HANDS})


class ProxyRefused(Exception):
    """The proxy gives no tunnel."""


class NoAddress(Exception):
    """The name of an origin, or of the proxy before it, leads nowhere."""


def failure_of(error: Exception, call: Call) -> ClientError:
    """The error that ``call`` ends in because of ``error``, which becomes its cause."""
    method, url = call.request.method, str(call.request.url)
    if isinstance(error, ResponseRefused):
        failure: ClientError = ProtocolError(str(error), method=method, url=url, broke_off=error.broke_off)
    elif isinstance(error, UnusableTls) or (isinstance(error, ssl.SSLError) and call.phase == SHAKING_HANDS):
        failure = TLSError(_tls_reason(error), method=method, url=url)
    elif call.phase == SHAKING_HANDS:
        failure = TLSError(f"the handshake was broken off: {_reason(error)}", method=method, url=url)
    elif isinstance(error, ProxyRefused | NoAddress) or call.phase in _BEFORE_THE_REQUEST:
        failure = ConnectError(_reason(error), method=method, url=url)
    else:
        failure = ProtocolError(
            f"the connection was lost: {_reason(error)}", method=method, url=url, broke_off=True
        )
    failure.__cause__ = error
    return failure


def _tls_reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return str(error)


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
