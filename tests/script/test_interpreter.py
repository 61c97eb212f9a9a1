"""The guard against the GIL, with real interpreters and real extension modules."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from siphon.script.interpreter import GilGuard, describe, is_free_threaded

needs_free_threading = pytest.mark.skipif(not is_free_threaded(), reason="needs a free-threaded build")

SOURCE = """
#include <Python.h>

#ifndef SINGLE_PHASE
static PyModuleDef_Slot slots[] = {
#ifdef SUPPORTS_FREE_THREADING
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL}
};
#else
#define slots NULL
#endif

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "NAME", .m_slots = slots};

PyMODINIT_FUNC PyInit_NAME(void) {
#ifdef IMPORTS
    PyObject *other = PyImport_ImportModule(IMPORTS);
    if (other == NULL) return NULL;
    Py_DECREF(other);
#endif
#ifdef SINGLE_PHASE
    return PyModule_Create(&definition);
#else
    return PyModuleDef_Init(&definition);
#endif
}
"""

DRIVER = """
import sys
from pathlib import Path
from siphon.errors import ScriptError, StartError
from siphon.script.interpreter import GilGuard
from siphon.script.loader import load

guard = GilGuard(allow_gil="allow" in sys.argv)
try:
    with guard:
        load(Path(sys.argv[1]))
except (StartError, ScriptError) as error:
    print(f"{type(error).__name__}: {error}")
else:
    print(f"started: {guard.warning}")
"""

ROUTE = """
from siphon import http

@http.route("/")
def handler(req):
    return http.Response()
"""


@pytest.fixture(scope="module")
def extensions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with extension modules that differ in what they declare and how they are made."""
    folder = tmp_path_factory.mktemp("extensions").resolve()
    build(folder, "without_slot")
    build(folder, "without_slot_single", "-DSINGLE_PHASE")
    build(folder, "with_slot", "-DSUPPORTS_FREE_THREADING")
    build(folder, "outer_with_slot", "-DSUPPORTS_FREE_THREADING", '-DIMPORTS="with_slot"')
    build(folder, "outer_without_slot", '-DIMPORTS="with_slot"')
    build(folder, "outer_broken", '-DIMPORTS="nowhere_to_be_found"')
    (folder / f"not_a_library{sysconfig.get_config_var('EXT_SUFFIX')}").write_bytes(b"text")
    return folder


def build(folder: Path, name: str, *options: str) -> None:
    compiler = shutil.which("cc")
    include = sysconfig.get_path("include")
    if compiler is None or not Path(include, "Python.h").exists():
        if os.environ.get("CI") == "true":
            pytest.fail("CI needs a C compiler and the headers of Python to test the guard against the GIL")
        pytest.skip("needs a C compiler and the headers of Python")
    source = folder / f"{name}.c"
    source.write_text(SOURCE.replace("NAME", name), encoding="utf-8")
    library = folder / f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}"
    command = [compiler, "-shared", "-fPIC", f"-I{include}", *options, str(source), "-o", str(library)]
    subprocess.run(command, check=True, timeout=60)


def start(
    script: Path, text: str, *arguments: str, options: tuple[str, ...] = (), gil: str | None = None
) -> tuple[str, str]:
    """Load a script of this text in a fresh interpreter; what it printed, and its standard error."""
    script.write_text(f"{text}\n{ROUTE}", encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHON_GIL"}
    if gil is not None:
        environment["PYTHON_GIL"] = gil
    done = subprocess.run(
        [sys.executable, *options, "-c", DRIVER, str(script), *arguments],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        cwd=Path(__file__).parent.parent.parent,
    )
    return done.stdout.strip(), done.stderr


@needs_free_threading
@pytest.mark.parametrize("name", ["without_slot", "without_slot_single", "outer_without_slot"])
def test_a_module_that_switches_the_gil_on_is_named(extensions: Path, name: str) -> None:
    printed, _ = start(extensions / "app.py", f"import {name}")
    assert printed.startswith(f"StartError: importing the extension module {name!r} ({extensions}/{name}."), (
        printed
    )
    assert "--allow-gil" in printed


@needs_free_threading
@pytest.mark.parametrize(
    "text",
    [
        "import warnings; warnings.simplefilter('ignore'); import without_slot",
        "import warnings\nwith warnings.catch_warnings():\n"
        "    warnings.simplefilter('ignore')\n    import without_slot",
        "import warnings\nwith warnings.catch_warnings(record=True):\n    import without_slot",
        "import threading\nthread = threading.Thread(target=lambda: __import__('without_slot'))\n"
        "thread.start()\nthread.join()",
        "import with_slot, without_slot, with_slot",
    ],
)
def test_the_module_is_named_whatever_the_script_does_with_warnings(extensions: Path, text: str) -> None:
    printed, _ = start(extensions / "app.py", text)
    assert printed.startswith("StartError: importing the extension module 'without_slot' ("), printed


@needs_free_threading
def test_a_module_that_switches_the_gil_on_is_named_where_warnings_are_errors(extensions: Path) -> None:
    printed, _ = start(extensions / "app.py", "import without_slot", options=("-W", "error"))
    assert "without_slot" in printed
    assert printed.startswith("ScriptError: ")


@needs_free_threading
def test_an_allowed_gil_is_a_warning_that_names_the_module(extensions: Path) -> None:
    printed, _ = start(extensions / "app.py", "import without_slot", "allow")
    assert printed.startswith("started: importing the extension module 'without_slot' ("), printed


@needs_free_threading
@pytest.mark.parametrize("name", ["with_slot", "outer_with_slot", "math", "_decimal"])
def test_a_module_that_supports_free_threading_is_welcome(extensions: Path, name: str) -> None:
    assert start(extensions / "app.py", f"import {name}") == ("started: None", "")


@needs_free_threading
def test_a_gil_that_is_forced_off_stays_off(extensions: Path) -> None:
    printed, _ = start(extensions / "app.py", "import without_slot", gil="0")
    assert printed == "started: None"


@needs_free_threading
@pytest.mark.parametrize(
    ("options", "gil", "reason"),
    [
        ((), "1", "the environment variable PYTHON_GIL=1 keeps the GIL on"),
        (("-X", "gil=1"), None, "the interpreter's option -X gil=1 keeps the GIL on"),
    ],
)
def test_a_gil_that_was_on_from_the_start_is_explained(
    tmp_path: Path, options: tuple[str, ...], gil: str | None, reason: str
) -> None:
    refused, _ = start(tmp_path / "app.py", "", options=options, gil=gil)
    assert refused.startswith(f"StartError: {reason}, so handlers do not run in parallel")
    allowed, _ = start(tmp_path / "app.py", "", "allow", options=options, gil=gil)
    assert allowed == f"started: {reason}, so handlers do not run in parallel"


@needs_free_threading
def test_a_module_imported_before_the_script_is_suspected(extensions: Path) -> None:
    early = (
        "import sys; sys.path.insert(0, sys.argv[1]); import without_slot\n"
        "from siphon.script.interpreter import GilGuard\n"
        "from siphon.errors import StartError\n"
        "try:\n    GilGuard().__enter__()\nexcept StartError as error:\n    print(error)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHON_GIL"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", early, str(extensions)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        cwd=Path(__file__).parent.parent.parent,
    )
    assert done.stdout.startswith("a module imported before the script ")


@needs_free_threading
@pytest.mark.parametrize("name", ["not_a_library", "outer_broken"])
def test_an_extension_module_that_fails_is_shown_at_the_line_that_imports_it(
    extensions: Path, name: str
) -> None:
    printed, _ = start(extensions / "app.py", f"import {name}")
    assert printed.startswith(
        f"ScriptError: Traceback (most recent call last):\n"
        f'  File "{extensions}/app.py", line 1, in <module>\n'
        f"    import {name}\n"
    ), printed
    assert "interpreter.py" not in printed
    assert "importlib" not in printed


@needs_free_threading
def test_an_error_of_the_script_goes_first(extensions: Path) -> None:
    printed, _ = start(extensions / "app.py", "import without_slot; 1 / 0")
    assert printed.startswith("ScriptError: Traceback")
    assert printed.endswith("ZeroDivisionError: division by zero")


def test_the_import_machinery_is_as_it_was_after_the_guard() -> None:
    from importlib.machinery import ExtensionFileLoader

    before = ExtensionFileLoader.create_module
    with GilGuard(allow_gil=True):
        pass
    assert ExtensionFileLoader.create_module is before


@pytest.mark.skipif(is_free_threaded(), reason="needs a build with the GIL")
def test_a_build_with_the_gil_is_a_warning() -> None:
    with GilGuard() as guard:
        pass
    assert guard.warning is not None
    assert "python3.13t" in guard.warning


def test_the_interpreter_is_described_in_a_few_words() -> None:
    version = re.escape(".".join(map(str, sys.version_info[:3])))
    assert re.fullmatch(rf"CPython {version}\S*( free-threaded)?, GIL (on|off)", describe())
    assert is_free_threaded() is ("free-threaded" in describe())
    assert is_free_threaded() is bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    assert describe().endswith("GIL on") is sys._is_gil_enabled()
