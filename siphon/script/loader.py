"""Runs a script once and collects what it registers."""

import importlib.util
import linecache
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import FileFinder, ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from siphon.errors import ScriptError
from siphon.script.bytecode import uncounted
from siphon.script.place import belongs_to_the_user, registers
from siphon.script.registry import Registry

_IMPORTING = "<frozen importlib."


def load(path: Path) -> Registry:
    """Run the script at ``path`` as a module and return what its decorators registered.

    Its folder comes first on ``sys.path`` from then on, so that modules beside it can be imported,
    also later in a handler. The module is named by the file's stem, or ``script_`` and the stem where
    that name belongs to another module. One thread at a time may call it.

    Raises ScriptError, its message ready to print, if the file cannot be read or decoded, if the
    script raises anything but KeyboardInterrupt, or if it registers no route. Then ``sys.path`` and
    the script's entry in ``sys.modules`` are as they were.
    """
    path = path.absolute()
    code = _compile(path, _read(path))
    registry = Registry()
    if path.stem in sys.stdlib_module_names:
        _Namesake.stand_back(path)
    with _folder_first(path.resolve().parent):
        _run(ScriptLoader(_module_name(path), path, code), registry)
    return registry


def load_source(source: str, name: str) -> Registry:
    """Run ``source`` as a module of its own, and return what its decorators registered.

    ``name`` stands for its file in messages. One thread at a time may call it. Raises ScriptError as
    ``load`` does.
    """
    code = _compile(Path(name), source)
    # So that tracebacks show its lines, as there is no file to read them from.
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    registry = Registry()
    number = 1
    while (module_name := f"source_{number}") in sys.modules:
        number += 1
    _run(ScriptLoader(module_name, Path(name), code), registry)
    return registry


def user_traceback(error: BaseException) -> str:
    """The traceback of ``error`` and of all that led to it, from the user's outermost frame on.

    What siphon and the standard library called before that is left out, and so is what happened inside
    a decorator that refused its arguments. An error without a frame of the user's is siphon's own, and
    all its frames are kept. Ends with a newline.
    """
    summary = traceback.TracebackException.from_exception(error)
    left = [summary]
    while left:
        each = left.pop()
        _cut_frames(each)
        left += [linked for linked in (each.__cause__, each.__context__) if linked is not None]
        left += each.exceptions or ()
    return "".join(summary.format())


class ScriptLoader(SourceFileLoader):
    """Runs the code it is given. Keeps no bytecode on disk: two changes in one second would go unseen."""

    def __init__(self, name: str, path: Path, code: CodeType) -> None:
        super().__init__(name, str(path))
        self._code = code

    def get_code(self, fullname: str) -> CodeType:
        return self._code


class _Namesake:
    """Has the library's module found where a script is called as it: siphon may import that later."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def stand_back(cls, path: Path) -> None:
        """Sees to it once for a script, however often it is loaded."""
        if not any(isinstance(finder, cls) and finder._path == path for finder in sys.meta_path):
            sys.meta_path.insert(0, cls(path))

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is not None or fullname != self._path.stem:
            return None
        return PathFinder.find_spec(fullname, _elsewhere(self._path))


def _run(loader: ScriptLoader, registry: Registry) -> None:
    spec = ModuleSpec(loader.name, loader, origin=loader.path)
    spec.has_location = True
    module = importlib.util.module_from_spec(spec)
    previous = sys.modules.get(loader.name)
    # In sys.modules before it runs: dataclasses, typing and pickle look a class's module up there.
    sys.modules[loader.name] = module
    try:
        with registry.collecting():
            loader.exec_module(module)
        if not registry.routes:
            raise ScriptError(
                f'{loader.path} registers no route: decorate a handler with @http.route("/path")'
            )
    except BaseException as error:
        if previous is None:
            sys.modules.pop(loader.name, None)
        else:
            sys.modules[loader.name] = previous
        if isinstance(error, KeyboardInterrupt | ScriptError):
            raise
        raise ScriptError(user_traceback(error).rstrip("\n")) from error


def _read(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ScriptError(f"there is no script {path}") from None
    except IsADirectoryError:
        raise ScriptError(f"{path} is a directory: name the script in it") from None
    except OSError as error:
        raise ScriptError(f"cannot read the script {path}: {error.strerror}") from error
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise ScriptError(f"{path}:{line}: a null byte: save the script as UTF-8")
    try:
        return importlib.util.decode_source(data)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ScriptError(f"{path}:{line}: not {error.encoding}: save the script as UTF-8") from error
    except SyntaxError as error:
        raise ScriptError(f"{path}: {error.msg}: save the script as UTF-8") from error


def _compile(path: Path, source: str) -> CodeType:
    try:
        return uncounted(compile(source, path, "exec", dont_inherit=True))
    except SyntaxError as error:
        text = "".join(traceback.format_exception_only(error)).rstrip("\n")
        raise ScriptError(text if error.filename is not None else f"{path}: {text}") from error
    except (MemoryError, RecursionError) as error:
        raise ScriptError(f"{path} nests too deeply to be compiled") from error


@contextmanager
def _folder_first(folder: Path) -> Iterator[None]:
    """Put ``folder`` first on ``sys.path``, for good unless the block raises."""
    entry = str(folder)
    added = sys.path[:1] != [entry]
    if added:
        sys.path.insert(0, entry)
    # Modules written since their folder was last listed, before a reload, must be found. What
    # importlib.invalidate_caches does beyond this imports importlib.metadata and a dozen others.
    for finder in list(sys.path_importer_cache.values()):
        if isinstance(finder, FileFinder):
            finder.invalidate_caches()
    try:
        yield
    except BaseException:
        if added and entry in sys.path:
            sys.path.remove(entry)
        raise


def _module_name(path: Path) -> str:
    name = path.stem.replace(".", "_")
    while name in sys.stdlib_module_names or _is_taken(name, path):
        name = f"script_{name}"
    return name


def _is_taken(name: str, path: Path) -> bool:
    """Whether ``import name`` means another file than the script, or would without its folder."""
    if name in sys.modules:
        return not _is_file(getattr(sys.modules[name], "__file__", None), path)
    specs = (importlib.util.find_spec(name), PathFinder.find_spec(name, _elsewhere(path)))
    return any(spec is not None and not _is_file(spec.origin, path) for spec in specs)


def _elsewhere(path: Path) -> list[str]:
    """Where modules are looked for, without the script's folder."""
    folders = {path.parent, path.resolve().parent}
    return [entry for entry in sys.path if Path(entry).absolute() not in folders]


def _is_file(origin: str | None, path: Path) -> bool:
    return origin is not None and Path(origin).exists() and path.samefile(origin)


def _cut_frames(error: traceback.TracebackException) -> None:
    frames = error.stack
    first = next((at for at, frame in enumerate(frames) if belongs_to_the_user(frame.filename)), 0)
    del frames[:first]
    # A decorator's complaint is about the line that called it, a failed import about the statement.
    while len(frames) > 1 and (registers(frames[-1].filename) or frames[-1].filename.startswith(_IMPORTING)):
        del frames[-1]
