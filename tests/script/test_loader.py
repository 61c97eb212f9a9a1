"""How a script is run, what it finds when it imports, and what is printed when it fails."""

import functools
import os
import pickle
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from siphon.errors import ScriptError
from siphon.script.loader import load, load_source, user_traceback
from siphon.script.registry import Registry, current

ROUTE = """
from siphon import http

@http.route("/")
def handler(req):
    return http.Response()
"""


@pytest.fixture(autouse=True)
def imports_as_before() -> Iterator[None]:
    path, modules = list(sys.path), dict(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - set(modules):
        del sys.modules[name]
    sys.modules.update(modules)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path.resolve()


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def failure(path: Path) -> str:
    with pytest.raises(ScriptError) as caught:
        load(path)
    return str(caught.value)


def values(registry: Registry) -> dict[str, object]:
    """The globals of the loaded script."""
    handler = registry.routes[0].handler
    return dict(sys.modules[handler.__module__].__dict__)


def test_a_script_is_loaded_with_all_it_registers(folder: Path) -> None:
    script = write(
        folder / "app.py",
        """
        from siphon import http

        @http.on_startup
        async def warm(): ...

        @http.middleware
        def guard(req): ...

        @http.middleware
        async def around(req, call_next): ...

        @http.route("/a", methods=["get", "post"])
        def first(req): ...

        @http.route("/b/{id}")
        async def second(req): ...

        @http.on_shutdown
        def flush(): ...

        @http.on_loop_startup
        async def connect(): ...

        @http.on_loop_shutdown
        async def disconnect(): ...
        """,
    )
    registry = load(script)
    assert [(route.pattern, route.methods, str(route.place)) for route in registry.routes] == [
        ("/a", ("GET", "POST"), f"{script}:13"),
        ("/b/{id}", ("GET",), f"{script}:16"),
    ]
    assert [(each.function.__name__, each.wraps) for each in registry.middlewares] == [
        ("guard", False),
        ("around", True),
    ]
    hooks = (registry.on_startup, registry.on_shutdown, registry.on_loop_startup, registry.on_loop_shutdown)
    assert [[each.function.__name__ for each in hook] for hook in hooks] == [
        ["warm"],
        ["flush"],
        ["connect"],
        ["disconnect"],
    ]
    assert current() is None


def test_a_script_is_a_module_named_by_its_stem(folder: Path) -> None:
    script = write(
        folder / "my_service.py",
        f"""
        import dataclasses, pickle, sys, typing

        @dataclasses.dataclass
        class Point:
            x: "int"

        copy = pickle.loads(pickle.dumps(Point(1)))
        hints = typing.get_type_hints(Point)
        itself = sys.modules[__name__].__dict__ is globals()
        {textwrap.indent(ROUTE, " " * 8).strip()}
        """,
    )
    found = values(load(script))
    assert found["__name__"] == "my_service"
    assert found["__file__"] == str(script)
    assert found["itself"] is True
    assert found["hints"] == {"x": int}
    assert found["copy"] == pickle.loads(pickle.dumps(found["copy"]))


def test_a_relative_path_is_made_absolute(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = write(folder / "relative_app.py", ROUTE)
    monkeypatch.chdir(folder)
    assert values(load(Path("relative_app.py")))["__file__"] == str(script)
    assert sys.path[0] == str(folder)


def test_modules_beside_the_script_come_first(folder: Path) -> None:
    write(folder / "colorsys.py", "MINE = 7\n")
    write(folder / "parts" / "__init__.py", "")
    write(folder / "parts" / "words.py", "WORD = 'yes'\n")
    script = write(folder / "app.py", f"import colorsys\nfrom parts.words import WORD\n{ROUTE}")
    sys.modules.pop("colorsys", None)
    found = values(load(script))
    assert found["colorsys"].MINE == 7  # type: ignore[attr-defined]
    assert found["WORD"] == "yes"
    assert sys.path[0] == str(folder)


def test_a_module_beside_the_script_registers_its_routes_too(folder: Path) -> None:
    write(folder / "beside_routes.py", ROUTE)
    registry = load(write(folder / "app.py", "import beside_routes\n"))
    assert [str(route.place) for route in registry.routes] == [f"{folder}/beside_routes.py:4"]


def test_a_script_reached_by_a_symbolic_link_finds_the_modules_beside_the_file(folder: Path) -> None:
    write(folder / "real" / "linked_helper.py", "")
    script = write(folder / "real" / "app.py", f"import linked_helper\n{ROUTE}")
    link = folder / "link.py"
    link.symlink_to(script)
    assert values(load(link))["__file__"] == str(link)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("queue.py", "script_queue"),
        ("http.py", "script_http"),
        ("siphon.py", "script_siphon"),
        ("pytest.py", "script_pytest"),
        ("hypothesis.py", "script_hypothesis"),
        ("__main__.py", "script___main__"),
        ("my-service.py", "my-service"),
        ("app.v2.py", "app_v2"),
        ("app_without_suffix", "app_without_suffix"),
    ],
)
def test_a_script_does_not_take_the_name_of_another_module(folder: Path, file: str, name: str) -> None:
    before = sys.modules.get(Path(file).stem)
    assert load(write(folder / file, ROUTE)).routes[0].handler.__module__ == name
    assert sys.modules.get(Path(file).stem) in (before, sys.modules[name])


def test_an_installed_module_that_nobody_imported_keeps_its_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder / "site" / "installed_thing.py", "")
    monkeypatch.syspath_prepend(str(folder / "site"))
    script = write(folder / "app" / "installed_thing.py", ROUTE)
    assert load(script).routes[0].handler.__module__ == "script_installed_thing"


def test_a_package_beside_the_script_keeps_its_name(folder: Path) -> None:
    write(folder / "shop" / "__init__.py", "")
    write(folder / "shop" / "models.py", "PRICE = 3\n")
    found = values(load(write(folder / "shop.py", f"from shop.models import PRICE\n{ROUTE}")))
    assert (found["__name__"], found["PRICE"]) == ("script_shop", 3)


def test_a_second_load_runs_the_script_anew(folder: Path) -> None:
    script = write(folder / "app.py", f"VALUE = 1\n{ROUTE}")
    first = values(load(script))
    length = len(sys.path)
    write(script, f"VALUE = 2\n{ROUTE}")
    second = values(load(script))
    assert (first["VALUE"], second["VALUE"]) == (1, 2)
    assert (first["__name__"], second["__name__"]) == ("app", "app")
    assert len(sys.path) == length


def test_no_bytecode_of_the_script_is_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    load(write(folder / "app.py", ROUTE))
    assert [path.name for path in folder.iterdir()] == ["app.py"]


@pytest.mark.parametrize("text", ["x = 1 / 0\n", "", "raise SystemExit(0)\n", "import nowhere_to_be_found\n"])
def test_a_failed_load_leaves_the_imports_as_they_were(folder: Path, text: str) -> None:
    path, modules = list(sys.path), set(sys.modules)
    failure(write(folder / "failing_app.py", text))
    assert sys.path == path
    assert set(sys.modules) == modules
    assert current() is None


def test_a_failed_second_load_keeps_the_module_of_the_first(folder: Path) -> None:
    script = write(folder / "app.py", ROUTE)
    load(script)
    first = sys.modules["app"]
    failure(write(script, "x = 1 / 0\n"))
    assert sys.modules["app"] is first
    assert sys.path[0] == str(folder)


def test_the_traceback_begins_in_the_script(folder: Path) -> None:
    script = write(folder / "app.py", "def f():\n    return {}['k']\n\nf()\n")
    assert failure(script) == "\n".join(
        (
            "Traceback (most recent call last):",
            f'  File "{script}", line 4, in <module>',
            "    f()",
            "    ~^^",
            f'  File "{script}", line 2, in f',
            "    return {}['k']",
            "           ~~^^^^^",
            "KeyError: 'k'",
        )
    )


def test_the_traceback_of_an_import_shows_both_files(folder: Path) -> None:
    beside = write(folder / "broken_beside.py", "\nraise LookupError('inside')\n")
    script = write(folder / "app.py", "import broken_beside\n")
    message = failure(script)
    assert f'"{script}", line 1' in message
    assert f'"{beside}", line 2' in message
    assert message.endswith("LookupError: inside")
    assert message.count("File ") == 2


def test_the_traceback_keeps_causes_and_contexts(folder: Path) -> None:
    text = """
    try:
        try:
            int("x")
        except ValueError:
            {}["context"]
    except KeyError as error:
        raise RuntimeError("last") from error
    """
    message = failure(write(folder / "app.py", text))
    order = [message.index(part) for part in ("ValueError", "KeyError: 'context'", "RuntimeError: last")]
    assert order == sorted(order)
    assert "direct cause" in message
    assert "During handling" in message


def test_the_traceback_keeps_the_parts_of_a_group(folder: Path) -> None:
    message = failure(write(folder / "app.py", 'raise ExceptionGroup("g", [ValueError(1), KeyError(2)])\n'))
    assert "ValueError: 1" in message
    assert "KeyError: 2" in message


@pytest.mark.parametrize(
    ("text", "line", "last"),
    [
        ("x = (\n", 1, "SyntaxError: '(' was never closed"),
        ("def f(:\n    pass\n", 1, "SyntaxError: invalid syntax"),
        ("if True:\nx = 1\n", 2, "IndentationError: expected an indented block"),
        ("y = 1\nx = '\0'\n", None, "app.py:2: a null byte: save the script as UTF-8"),
        ("x = " + "(" * 500 + "\n", 1, "SyntaxError: too many nested parentheses"),
        ("x = " + "-" * 100_000 + "1\n", None, "app.py nests too deeply to be compiled"),
    ],
)
def test_a_syntax_error_shows_the_place_and_nothing_of_siphon(
    folder: Path, text: str, line: int | None, last: str
) -> None:
    message = failure(write(folder / "app.py", text))
    assert last in message.splitlines()[-1]
    assert line is None or f'File "{folder}/app.py", line {line}\n' in message
    assert "siphon" not in message
    assert "importlib" not in message


@pytest.mark.parametrize(
    "statement", ["raise SystemExit(3)", "raise SystemExit", "exit(4)", "raise GeneratorExit"]
)
def test_a_script_that_ends_the_program_is_an_error(folder: Path, statement: str) -> None:
    message = failure(write(folder / "app.py", f"import sys\n{ROUTE}\n{statement}\n"))
    assert 'app.py", line 9, in <module>' in message


def test_an_interrupt_is_passed_on(folder: Path) -> None:
    script = write(folder / "app.py", "raise KeyboardInterrupt\n")
    path = list(sys.path)
    with pytest.raises(KeyboardInterrupt):
        load(script)
    assert sys.path == path
    assert "app" not in sys.modules


def test_a_registration_that_breaks_a_rule_is_one_sentence_with_its_place(folder: Path) -> None:
    text = 'from siphon import http\n\n@http.route("/{a")\ndef f(req): ...\n'
    message = failure(write(folder / "app.py", text))
    assert message.startswith(f"{folder}/app.py:3: pattern '/{{a'")
    assert "\n" not in message


def test_a_wrong_argument_is_shown_at_the_decorator_and_no_deeper(folder: Path) -> None:
    text = 'from siphon import http\n\n@http.route("/", methods="GET")\ndef f(req): ...\n'
    message = failure(write(folder / "app.py", text))
    assert message.count("File ") == 1
    assert f'"{folder}/app.py", line 3' in message
    assert message.endswith(
        "TypeError: methods must be a list of strings, not 'GET': write methods=[\"GET\"]"
    )


def test_a_script_without_a_route_is_an_error(folder: Path) -> None:
    script = write(folder / "app.py", "from siphon import http\n")
    assert failure(script).startswith(f"{script} registers no route")


def test_a_missing_script_is_an_error(folder: Path) -> None:
    assert failure(folder / "none.py") == f"there is no script {folder}/none.py"


def test_a_folder_is_no_script(folder: Path) -> None:
    assert failure(folder) == f"{folder} is a directory: name the script in it"


def test_a_file_used_as_a_folder_is_an_error(folder: Path) -> None:
    script = write(folder / "app.py", ROUTE)
    assert failure(script / "app.py") == f"cannot read the script {script}/app.py: Not a directory"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_script_that_may_not_be_read_is_an_error(folder: Path) -> None:
    script = write(folder / "app.py", ROUTE)
    script.chmod(0)
    assert failure(script) == f"cannot read the script {script}: Permission denied"


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"# 1\n# 2\nx = '\xff'\n", ":3: not utf-8: save the script as UTF-8"),
        (b"x = '\xe9'\n", ": invalid or missing encoding declaration: save the script as UTF-8"),
        (b"# coding: nonsense\n", ": unknown encoding: nonsense: save the script as UTF-8"),
    ],
)
def test_a_script_that_cannot_be_decoded_is_an_error(folder: Path, data: bytes, complaint: str) -> None:
    script = folder / "app.py"
    script.write_bytes(data)
    assert failure(script) == f"{script}{complaint}"


@pytest.mark.parametrize(
    "data", [b"\xef\xbb\xbfWORD = 'caf\xc3\xa9'\n", b"# coding: latin-1\nWORD = 'caf\xe9'\n"]
)
def test_a_declared_encoding_is_used(folder: Path, data: bytes) -> None:
    script = folder / "app.py"
    script.write_bytes(data + ROUTE.encode())
    assert values(load(script))["WORD"] == "caf\u00e9"


def raised(function: Callable[[], object]) -> BaseException:
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - each caller looks at what it gets
        function()
    return caught.value


def files_of(error: BaseException) -> list[str]:
    return [Path(frame.filename).name for frame in traceback.extract_tb(error.__traceback__)]


def test_what_siphon_and_the_standard_library_called_before_the_script_is_cut_off(folder: Path) -> None:
    """Here siphon's own load is the outside: the error that it wraps still has all its frames."""
    error = raised(functools.partial(load, write(folder / "app.py", "1 / 0\n")))
    cause = error.__cause__
    assert cause is not None
    assert files_of(cause)[0] == "loader.py"
    assert user_traceback(cause) == f"{error}\n"


def test_a_handlers_traceback_goes_on_into_the_libraries_it_calls(folder: Path) -> None:
    text = ROUTE.replace("return http.Response()", "import json; json.loads('x')")
    handler = load(write(folder / "app.py", text)).routes[0].handler
    printed = user_traceback(raised(functools.partial(handler, None)))
    assert f'"{folder}/app.py", line 6, in handler' in printed
    assert "decoder.py" in printed


def test_an_error_of_siphons_own_keeps_its_frames(folder: Path) -> None:
    error = raised(functools.partial(load, folder / "none.py")).__context__
    assert isinstance(error, FileNotFoundError)
    assert files_of(error)[0] == "loader.py"
    assert 'loader.py", line' in user_traceback(error)


def test_a_script_can_be_loaded_from_its_text() -> None:
    first, second = load_source(ROUTE, "<first>"), load_source(ROUTE + "raised = 0\n", "<second>")
    assert [str(registry.routes[0].place) for registry in (first, second)] == ["<first>:4", "<second>:4"]
    assert values(first)["__file__"] == "<first>"
    assert "raised" in values(second)
    assert "raised" not in values(first)


def test_the_traceback_of_a_script_from_text_shows_its_lines() -> None:
    with pytest.raises(ScriptError) as caught:
        load_source("x = 0\ny = 1 / x\n", "<text>")
    assert 'File "<text>", line 2, in <module>\n    y = 1 / x\n' in str(caught.value)
