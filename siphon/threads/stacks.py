"""Where every thread of the process is at the moment."""

from __future__ import annotations

import faulthandler
import os
import re
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import IO

_HEADING: Final = re.compile(r"(?:Thread|Current thread) 0x([0-9a-f]+)[^\n]*:")
# Where every thread begins.
_BEGINNING: Final = re.compile(r"threading\.py\", line [0-9]+ in _bootstrap(?:_inner)?$")
# faulthandler gives up at a thread that is just being made, and says so.
_CUT_OFF: Final = "<freed thread state>"
_ATTEMPTS: Final = 20
_NAMES_SHOWN: Final = 4


def stacks() -> str:
    """The stacks of all threads, the outermost call first; threads at the same place are shown together.

    Any thread. Every thread stands still for a moment. CPython shows the newest 100 threads, and of each
    the innermost 100 calls.
    """
    places: dict[str, list[str]] = {}
    for ident, stack in _stacks_by_ident():
        places.setdefault(stack, []).append(_name_of(ident))
    shown = [f"{_joined(names)}\n{stack}" for stack, names in places.items()]
    return "\n".join(shown) or "none: threads were being made all the while"


def _stacks_by_ident() -> list[tuple[int, str]]:
    text = _dump()
    for _ in range(_ATTEMPTS - 1):
        if _CUT_OFF not in text:
            break
        text = _dump()
    found: list[tuple[int, str]] = []
    for part in text.split("\n\n"):
        heading, _, calls = part.strip("\n").partition("\n")
        match = _HEADING.match(heading)
        if match is not None:
            inner_first = [call for call in calls.split("\n") if not _BEGINNING.search(call)]
            found.append((int(match[1], 16), "\n".join(reversed(inner_first))))
    return found


def _dump() -> str:
    # Not sys._current_frames: without a GIL, following another thread's frames reads memory that it has
    # freed meanwhile (gh-152355). faulthandler stops the threads while it looks.
    with _scratch_file() as file:
        faulthandler.dump_traceback(file, all_threads=True)
        file.seek(0)
        return file.read().decode("utf-8", "backslashreplace")


def _scratch_file() -> IO[bytes]:
    """In memory where the system can: there may be no disk that takes anything."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("siphon-stacks"), "w+b")
    from tempfile import TemporaryFile  # with shutil and the compressions that it knows

    return TemporaryFile()


def _name_of(ident: int) -> str:
    for thread in threading.enumerate():
        if thread.ident == ident:
            return thread.name
    return f"thread {ident:#x}"


def _joined(names: list[str]) -> str:
    names = sorted(sorted(names), key=len)
    if len(names) <= _NAMES_SHOWN:
        return ", ".join(names)
    return f"{', '.join(names[: _NAMES_SHOWN - 1])} and {len(names) - _NAMES_SHOWN + 1} more"
