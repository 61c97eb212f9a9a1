"""The threads that siphon starts."""

from __future__ import annotations

import sys
import threading
from contextvars import Context
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Daemon(threading.Thread):
    """A thread of siphon's own: it does not keep the process alive, and begins with an empty context.

    From CPython 3.14 on a thread without a GIL has a copy of the context of whoever starts it, and keeps
    that: a worker that some request has needed would have that request's variables for life.
    """

    def __init__(self, name: str, target: Callable[[], object] | None = None) -> None:
        """``target``: what it runs, where ``run`` is not overridden."""
        if sys.version_info >= (3, 14):
            super().__init__(name=name, target=target, daemon=True, context=Context())
        else:
            super().__init__(name=name, target=target, daemon=True)
