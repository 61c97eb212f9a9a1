"""Two bytes and the mixed scenario's routes on Starlette, the slow ones as sync functions."""

from typing import Any

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.apps import work


def _sleep(request: Any) -> Any:
    work.sleep()
    return Response(b"ok")


def _burn(request: Any) -> Any:
    work.burn()
    return Response(b"ok")


async def _fast(request: Any) -> Any:
    return Response(b"ok")


app = Starlette(
    routes=[Route("/", _fast), Route("/fast", _fast), Route("/sleep", _sleep), Route("/burn", _burn)]
)
