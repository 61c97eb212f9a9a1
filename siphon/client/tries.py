"""One call of a client: how often it is sent, and where redirects lead. One deadline covers all of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from siphon.errors import ConnectError, ProtocolError
from siphon.url import resolve

if TYPE_CHECKING:
    from siphon.client.outbound import Transport
    from siphon.client.request import OutboundRequest
    from siphon.client.response import ClientResponse
    from siphon.url import Url

_REDIRECTS_MAX: Final = 20
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
# The first further try comes at once, the next after this, then twice that, and so on.
_BACKOFF_S: Final = 0.5
_BACKOFF_MAX_S: Final = 8.0
# What a redirect to another origin must not carry there.
_SECRETS: Final = frozenset({"authorization", "cookie", "proxy-authorization"})
_OF_CONTENT: Final = frozenset({"content-type", "content-length", "content-encoding", "content-language"})


async def call(transport: Transport, request: OutboundRequest) -> ClientResponse:
    """Sends ``request`` as the client's settings say, within ``timeout_ms``. Raises ClientError."""
    settings = transport.settings
    deadline = asyncio.get_running_loop().time() + settings.timeout_ms / 1000
    response = await _try(transport, request, deadline)
    if not settings.follow_redirects:
        return response
    for _ in range(_REDIRECTS_MAX):
        following = _following(request, response)
        if following is None:
            return response
        request = following
        response = await _try(transport, request, deadline)
    if _following(request, response) is None:
        return response
    raise ProtocolError(f"redirected over {_REDIRECTS_MAX} times", method=response.method, url=response.url)


async def _try(transport: Transport, request: OutboundRequest, deadline: float) -> ClientResponse:
    left = transport.settings.retries
    wait_s = 0.0
    loop = asyncio.get_running_loop()
    while True:
        try:
            return await transport.send(request, deadline)
        except (ConnectError, ProtocolError) as error:
            # Without a connection nothing has been sent, whatever the method.
            again = left > 0 and (
                isinstance(error, ConnectError) or (error.broke_off and request.is_idempotent)
            )
            if not again or loop.time() + wait_s >= deadline:
                raise
        left -= 1
        if wait_s:
            await _pass(wait_s)
        wait_s = min(2 * wait_s, _BACKOFF_MAX_S) or _BACKOFF_S


async def _pass(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    passed = loop.create_future()
    timer = loop.call_later(seconds, passed.set_result, None)
    try:
        await passed
    finally:
        timer.cancel()


def _following(request: OutboundRequest, response: ClientResponse) -> OutboundRequest | None:
    """The request that a redirect asks for (RFC 9110, section 15.4), None where it asks for none."""
    location = response.headers.get("location")
    if response.status not in _REDIRECTS or location is None:
        return None
    try:
        url = resolve(request.url, _as_text(location))
    except ValueError as error:
        raise ProtocolError(
            f"the redirect leads nowhere: {error}", method=response.method, url=response.url
        ) from error
    left_out: set[str] = set()
    method, body = request.method, request.body
    if (response.status == 303 and method != "HEAD") or (response.status in (301, 302) and method == "POST"):
        method, body = "GET", b""
        left_out |= _OF_CONTENT
    fields = _readdressed(request, url, left_out)
    return replace(request, method=method, url=url, body=body, fields=fields, path=url.target)


def _as_text(location: str) -> str:
    """A Location as who has sent it meant it: some leave UTF-8 as it is, and fields are read as Latin-1."""
    try:
        return location.encode("latin-1").decode()
    except UnicodeError:
        return location


def _readdressed(request: OutboundRequest, url: Url, left_out: set[str]) -> tuple[tuple[str, str], ...]:
    elsewhere = url.origin != request.url.origin
    if elsewhere:
        left_out |= _SECRETS | {"host"}
    kept = tuple((name, value) for name, value in request.fields if name.lower() not in left_out)
    return (("Host", url.origin.authority), *kept) if elsewhere else kept
