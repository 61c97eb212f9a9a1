"""Code whose constants no thread counts.

A free-threaded CPython makes the constants of code immortal when it reads the code from a ``.pyc`` file,
and not when it has just compiled it: then every thread counts each bytes, float and larger number that a
line mentions, all in one place. Two threads that computed with one such constant got 1.4 times what one
got, and 2.0 times with the constant out of the way (measured). So what is compiled here is written and
read once more, in memory.
"""

from __future__ import annotations

import importlib.machinery
import marshal
import sys
from importlib.machinery import ExtensionFileLoader, FileFinder, SourceFileLoader, SourcelessFileLoader
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import CodeType


def uncounted(code: CodeType) -> CodeType:
    """The same code, with constants that threads share without counting who refers to them."""
    reread: CodeType = marshal.loads(marshal.dumps(code))
    return reread


class UncountedLoader(SourceFileLoader):
    """Loads a module as always; where there is no bytecode for it yet, its constants are uncounted too."""

    def source_to_code(self, data: Any, path: Any, *, _optimize: int = -1) -> CodeType:  # type: ignore[override]
        """Compiles a module's source."""
        return uncounted(super().source_to_code(data, path, _optimize=_optimize))


def import_uncounted() -> None:
    """Has every module that is imported from now on loaded so: the first start after an installation has no
    bytecode, and one with PYTHONDONTWRITEBYTECODE or on a read-only disk never has. Main thread, once.
    """
    finder = FileFinder.path_hook(
        (ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES),
        (UncountedLoader, importlib.machinery.SOURCE_SUFFIXES),
        (SourcelessFileLoader, importlib.machinery.BYTECODE_SUFFIXES),
    )
    # Zip files have a finder of their own, and this one declines them.
    sys.path_hooks.insert(0, finder)
    sys.path_importer_cache.clear()
