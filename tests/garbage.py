"""Which errors only the cyclic collector would have freed, with the frames that their tracebacks lead to."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def without_collections() -> Iterator[Callable[[], list[BaseException]]]:
    """Keeps the collector from coming by; gives what counts the errors that were left to it since."""
    gc.collect()
    gc.disable()

    def errors_left() -> list[BaseException]:
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        errors = [found for found in gc.garbage if isinstance(found, BaseException)]
        return [error for error in errors if error.__traceback__ is not None]

    try:
        yield errors_left
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
