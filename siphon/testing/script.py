"""Scripts loaded for a test, each with modules of its own, and unloaded after it."""

from __future__ import annotations

import functools
import sys
import threading
import weakref
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from siphon.script import loader
from siphon.script.place import belongs_to_the_user

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from siphon.script.registry import Registry

# Guards what loads change of the process: the import of scripts and the names below. Reentrant, since a
# script may import what tests scripts.
_lock = threading.RLock()
# By name, the modules that loaded scripts live in, the newest last. Weak: a test that never unloads its
# script would otherwise keep it for good.
_copies: dict[str, list[weakref.ref[ModuleType]]] = {}
# The folders that loads have put on sys.path, and how many scripts need them.
_folders: Counter[str] = Counter()
_INSTALLED: Final = {"site-packages", "dist-packages"}


@dataclass(frozen=True, slots=True, eq=False)
class LoadedScript:
    """What a script has registered, and what its load has left behind in the process."""

    registry: Registry
    modules: dict[str, ModuleType]
    """The script's own and those beside it that it imported first: another load gets copies of its own."""
    folder: str | None
    """The folder that was put on ``sys.path`` for it."""

    def unload(self) -> None:
        """Takes the script's modules out of ``sys.modules``, and its folder off ``sys.path``. Any thread."""
        with _lock:
            for name, module in self.modules.items():
                _take_out(name, module)
            if self.folder is not None:
                _leave(self.folder)


def load_file(path: Path) -> LoadedScript:
    """Loads the script at ``path`` as the server does. Any thread; raises ScriptError."""
    folder = path.absolute().resolve().parent
    return _load(folder, functools.partial(loader.load, path))


def load_source(source: str, name: str) -> LoadedScript:
    """Loads a script from its text. Any thread; raises ScriptError."""
    return _load(None, functools.partial(loader.load_source, source, name))


def _load(folder: Path | None, load: Callable[[], Registry]) -> LoadedScript:
    with _lock:
        aside = _set_aside()
        before = set(sys.modules)
        entries = len(sys.path)
        try:
            registry = load()
        except BaseException:
            for name, module in _brought(before, folder).items():
                _take_out(name, module)
            raise
        finally:
            # Where the script has not imported its own, the copies of other tests stay to be found.
            for name, module in aside.items():
                if name not in sys.modules:
                    _put(name, module)
        modules = _brought(before, folder)
        for name, module in modules.items():
            _copies.setdefault(name, []).append(weakref.ref(module))
        entered = None
        if folder is not None and (len(sys.path) > entries or str(folder) in _folders):
            entered = str(folder)
            _folders[entered] += 1
        return LoadedScript(registry, modules, entered)


def _set_aside() -> dict[str, ModuleType]:
    """Takes out the modules of other scripts, so that an import runs them anew: their decorators must."""
    aside = {}
    for name, copies in list(_copies.items()):
        module = sys.modules.get(name)
        if module is not None and any(module is copy() for copy in copies):
            aside[name] = module
            _remove(name, module)
    return aside


def _brought(before: set[str], folder: Path | None) -> dict[str, ModuleType]:
    """The modules that are new and were written for the script: it itself, and what lies beside it."""
    return {
        name: module
        for name, module in list(sys.modules.items())
        if name not in before and _is_of_the_script(module, folder)
    }


def _is_of_the_script(module: ModuleType, folder: Path | None) -> bool:
    spec = getattr(module, "__spec__", None)
    if isinstance(getattr(spec, "loader", None), loader.ScriptLoader):
        return True
    file = getattr(module, "__file__", None)
    if folder is None or file is None or not file.endswith(".py") or not belongs_to_the_user(file):
        return False
    path = Path(file).resolve()
    return path.is_relative_to(folder) and not _INSTALLED & set(path.parts)


def _take_out(name: str, module: ModuleType) -> None:
    """Forgets a copy; the newest that is left, if any, takes its place."""
    left = [copy for copy in _copies.pop(name, []) if copy() is not None and copy() is not module]
    if left:
        _copies[name] = left
    if sys.modules.get(name) is module:
        _remove(name, module)
        newest = left[-1]() if left else None
        if newest is not None:
            _put(name, newest)


def _put(name: str, module: ModuleType) -> None:
    sys.modules[name] = module
    package, _, child = name.rpartition(".")
    if package in sys.modules:
        setattr(sys.modules[package], child, module)


def _remove(name: str, module: ModuleType) -> None:
    del sys.modules[name]
    package, _, child = name.rpartition(".")
    # `from package import child` finds it there, without a look at sys.modules.
    if getattr(sys.modules.get(package), child, None) is module:
        delattr(sys.modules[package], child)


def _leave(folder: str) -> None:
    _folders[folder] -= 1
    if _folders[folder] <= 0:
        del _folders[folder]
        if folder in sys.path:
            sys.path.remove(folder)
