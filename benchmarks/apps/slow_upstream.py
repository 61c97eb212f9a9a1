"""An upstream that answers every request after a second: ``slow_upstream.py PORT``."""

import asyncio
import sys

DELAY_S = 1.0
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"


class Slow(asyncio.Protocol):
    """One connection: an answer for each request without a body."""

    def __init__(self) -> None:
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answers what has arrived whole a second later."""
        *whole, self._received = (self._received + data).split(b"\r\n\r\n")
        for _ in whole:
            asyncio.get_running_loop().call_later(DELAY_S, self._answer)

    def _answer(self) -> None:
        assert self._transport is not None
        self._transport.write(_ANSWER)


async def main(port: int) -> None:
    """Serves until it is ended."""
    server = await asyncio.get_running_loop().create_server(Slow, "127.0.0.1", port, backlog=1_024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
