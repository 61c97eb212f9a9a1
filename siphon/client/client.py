"""``http.Client``: the calls a script makes to other servers."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Self

from siphon.client.outbound import current_outbound
from siphon.client.request import make_request
from siphon.client.tries import call
from siphon.config.check import ListOf, MapOf, Section, settings_of
from siphon.config.settings import ClientSettings
from siphon.url import parse_url

if TYPE_CHECKING:
    from types import TracebackType

    from siphon.client.outbound import Transport
    from siphon.client.request import Body, Params
    from siphon.client.response import ClientResponse
    from siphon.messages import FieldsArgument

type Cert = str | tuple[str, str]


class Client:
    """Calls other servers, over pooled connections that all handlers, loops and threads share.

    ``http.Client("api")`` stands for ``clients.api`` of ``http.yaml``. ``http.Client(base_url=...)`` is
    inline: those with equal arguments share connections while any of them is open. Either may be made
    once and used by every handler, or made where it is needed. ``async with`` closes an inline client
    at its end, and never a named one.

    Every call is a coroutine, which any event loop may run; nothing of it blocks the loop. It returns
    the response whatever its status, and raises:

    - ``http.ConnectError``, ``http.TLSError``: there is no connection to be had.
    - ``http.TimeoutError``: ``timeout_ms`` has passed; ``http.PoolTimeout`` if no connection was free.
    - ``http.ProtocolError``: the answer broke off or breaks the rules.
    - ``ValueError``, ``TypeError``: an argument is wrong, and nothing was sent.

    A call is sent once. Only where an idempotent one meets a connection that the upstream has closed
    meanwhile, without a byte of an answer, is it sent again on a new one.

    Args:
        name: Look up ``clients.<name>`` of ``http.yaml``; then no other argument is taken.
        base_url: What the paths of calls are joined onto; without it they are whole URLs.
        verify: A file of CA certificates to trust instead of the system's; False trusts anybody.
        cert: The client's certificate for mutual TLS: one PEM file with the key in it, or a pair
            ``(certificate, key)``.
        timeout_ms: For a whole call: waiting for a connection, connecting, sending and receiving;
            30,000 unless given.
        http2_prior_knowledge: Call http URLs in HTTP/2 from the first byte.
        pool_size: The most HTTP/1.1 connections to one host and port; 8 unless given.
        max_response_bytes: The largest response body, decoded; 64 MiB unless given.
        decode: Whether gzip and deflate are asked for and decoded; True unless given.
        follow_redirects: Whether redirects are followed; False unless given.
        retries: How many more times a call is tried that found no connection or, if it is
            idempotent, lost it; 0 unless given.
        trust_env: Whether the proxies in the environment are used; True unless given.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        base_url: str | None = None,
        verify: str | bool | None = None,
        cert: Cert | None = None,
        timeout_ms: int | None = None,
        http2_prior_knowledge: bool = False,
        pool_size: int | None = None,
        max_response_bytes: int | None = None,
        decode: bool | None = None,
        follow_redirects: bool | None = None,
        retries: int | None = None,
        trust_env: bool | None = None,
    ) -> None:
        """Makes a client; nothing is connected yet.

        Raises ValueError: there is no client of that name, or an argument is wrong.
        """
        given: dict[str, Any] = {
            "base_url": base_url,
            "verify": verify,
            "timeout_ms": timeout_ms,
            "http2_prior_knowledge": http2_prior_knowledge or None,
            "pool_size": pool_size,
            "max_response_bytes": max_response_bytes,
            "decode": decode,
            "follow_redirects": follow_redirects,
            "retries": retries,
            "trust_env": trust_env,
        }
        given = {key: value for key, value in given.items() if value is not None}
        if cert is not None:
            given |= _cert(cert)
        self._lock = threading.Lock()  # for whoever closes it
        self._transport: Transport | None = None
        self._is_named = name is not None
        if name is None:
            self._transport = current_outbound().inline(_settings(given))
        elif given:
            raise ValueError(
                f"http.Client({name!r}) is configured in http.yaml and takes no other argument: "
                f"leave out {', '.join(sorted(given))}, or leave out the name"
            )
        else:
            self._transport = current_outbound().named(name)
        base = self._transport.settings.base_url
        self._base = None if base is None else parse_url(base)

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Params = None,
        headers: FieldsArgument | None = None,
        body: Body = None,
        json: object = None,
    ) -> ClientResponse:
        """Sends a request with any method but CONNECT, and returns the answer, its body read.

        Args:
            method: In any case.
            path: Joined onto the base URL, or a whole URL where the client has none.
            params: Appended to the query: a mapping or pairs; a list of values repeats the name.
            headers: A mapping, whose values may be lists, or pairs.
            body: bytes, or str, which is sent as UTF-8.
            json: What to send as JSON instead of ``body``.
        """
        transport = self._transport
        if transport is None:
            raise RuntimeError("this http.Client has been closed")
        request = make_request(
            transport.settings, self._base, method, path, params=params, headers=headers, body=body, json=json
        )
        return await call(transport, request)

    async def get(
        self, path: str, *, headers: FieldsArgument | None = None, params: Params = None
    ) -> ClientResponse:
        """GET; see ``request``."""
        return await self.request("GET", path, headers=headers, params=params)

    async def head(
        self, path: str, *, headers: FieldsArgument | None = None, params: Params = None
    ) -> ClientResponse:
        """HEAD; see ``request``."""
        return await self.request("HEAD", path, headers=headers, params=params)

    async def options(
        self, path: str, *, headers: FieldsArgument | None = None, params: Params = None
    ) -> ClientResponse:
        """OPTIONS; see ``request``."""
        return await self.request("OPTIONS", path, headers=headers, params=params)

    async def delete(
        self, path: str, *, headers: FieldsArgument | None = None, params: Params = None
    ) -> ClientResponse:
        """DELETE; see ``request``."""
        return await self.request("DELETE", path, headers=headers, params=params)

    async def post(
        self,
        path: str,
        *,
        body: Body = None,
        headers: FieldsArgument | None = None,
        params: Params = None,
        json: object = None,
    ) -> ClientResponse:
        """POST; see ``request``."""
        return await self.request("POST", path, body=body, headers=headers, params=params, json=json)

    async def put(
        self,
        path: str,
        *,
        body: Body = None,
        headers: FieldsArgument | None = None,
        params: Params = None,
        json: object = None,
    ) -> ClientResponse:
        """PUT; see ``request``."""
        return await self.request("PUT", path, body=body, headers=headers, params=params, json=json)

    async def patch(
        self,
        path: str,
        *,
        body: Body = None,
        headers: FieldsArgument | None = None,
        params: Params = None,
        json: object = None,
    ) -> ClientResponse:
        """PATCH; see ``request``."""
        return await self.request("PATCH", path, body=body, headers=headers, params=params, json=json)

    async def aclose(self) -> None:
        """Closes an inline client; its connections close once no equal one is open. A named one stays."""
        self._release()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()

    def __del__(self) -> None:
        transport = getattr(self, "_transport", None)
        if transport is not None and not self._is_named:
            transport.drop()

    def _release(self) -> None:
        if self._is_named:
            return
        with self._lock:
            transport, self._transport = self._transport, None
        if transport is not None:
            transport.release()


def _cert(cert: Cert) -> dict[str, str]:
    if isinstance(cert, str):
        return {"cert": cert}
    if isinstance(cert, tuple) and len(cert) == 2 and all(isinstance(part, str) for part in cert):
        return {"cert": cert[0], "key": cert[1]}
    raise TypeError(f"cert is the path of a PEM file or a pair (certificate, key), not {cert!r}")


def _settings(given: dict[str, Any]) -> ClientSettings:
    """An inline client's arguments under the same checks as ``http.yaml``."""
    known = settings_of(ClientSettings)
    for name, value in given.items():
        check = known[name].check
        assert not isinstance(check, Section | ListOf | MapOf)
        try:
            check.parse(value)
        except ValueError as refusal:
            raise ValueError(f"http.Client: {name} {refusal}") from None
    return ClientSettings(**given)
