"""Two bytes from Tornado's own server: ``tornado_app.py PORT``."""

import asyncio
import logging
import sys

from tornado import web


class Hello(web.RequestHandler):  # type: ignore[misc]
    """Two bytes."""

    def get(self) -> None:
        """Answers."""
        self.set_header("Content-Type", "text/plain")
        self.finish(b"ok")


async def main(port: int) -> None:
    """Serves until it is ended."""
    logging.getLogger("tornado.access").setLevel(logging.WARNING)
    web.Application([("/", Hello)]).listen(port, "127.0.0.1")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
