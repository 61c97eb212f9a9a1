"""The house rules that a machine can check: who imports whom, how long things are, what is documented."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import siphon

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(siphon.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
LINES_MAX = 400
FUNCTION_LINES_MAX = 50

# A module may import from its own layer and from those below it. What a script imports stands on the
# registry and on messages; siphon itself imports none of it.
LAYERS = (
    ("errors", "version", "url"),
    ("config",),
    ("entries", "journal", "forwarded", "client_certificate", "wakeup", "daemon"),
    ("messages",),
    ("wire",),
    ("script",),
    ("client",),
    ("http", "log", "metrics"),
    ("routing",),
    ("dispatch",),
    ("threads",),
    ("testing",),
    ("pytest_plugin",),
    ("options",),
    ("cli",),
    ("__main__",),
)
LEVEL = {name: level for level, layer in enumerate(LAYERS) for name in layer}
SCRIPTS_ONLY = {"http", "log", "metrics"}
# Functions that make functions. They run when the server starts or stops, never for a request: a class
# that is made at run time is never freed on 3.13, and either costs time.
MADE_ONCE = {
    "cli:_entries",
    "entries:_picker",
    "entries:_positional",
    "http:route",
    "journal:flush",
    "routing:__init__",
    "script.interpreter:_watch",
    "threads.server:_bind",
}


def name_of(path: Path) -> str:
    """The dotted name inside the package: ``wire.head``; the package itself is ``""``."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imported(path: Path) -> Iterator[str]:
    """The modules of siphon that a file imports when it runs, as ``wire.head``."""
    for node in outside_type_checking(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            module = node.module or ""
            names = [f"{module}.{alias.name}" for alias in node.names] if module == "siphon" else [module]
        else:
            continue
        yield from (name.removeprefix("siphon.") for name in names if name.startswith("siphon."))


def outside_type_checking(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but those under ``if TYPE_CHECKING``."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        yield from outside_type_checking(node)


def layer(module: str) -> int:
    """The level of the layer that a module belongs to."""
    return LEVEL[module.partition(".")[0]]


def ids(path: Path) -> str:
    return name_of(path) or "__init__"


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_every_module_has_a_layer() -> None:
    heads = {name_of(path).partition(".")[0] for path in FILES} - {""}
    assert heads == set(LEVEL)


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_imports_run_one_way(path: Path) -> None:
    name = name_of(path)
    upwards = [other for other in imported(path) if name and layer(other) > layer(name)]
    assert not upwards, f"siphon.{name} imports from a layer above it"
    if name not in SCRIPTS_ONLY:
        assert not SCRIPTS_ONLY & set(imported(path)), f"siphon.{name} imports what is meant for scripts"


def test_the_walk_sees_imports_inside_functions_and_not_those_for_types() -> None:
    source = (
        "if TYPE_CHECKING:\n    import siphon.a\ndef f():\n    from siphon import b\n    import siphon.c.d\n"
    )
    nodes = outside_type_checking(ast.parse(source))
    seen = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [alias.name for node in seen for alias in node.names] == ["b", "siphon.c.d"]


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_no_file_is_too_long(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LINES_MAX


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_no_function_is_too_long(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lengths = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions(tree)}
    assert not {name: length for name, length in lengths.items() if length >= FUNCTION_LINES_MAX}


@pytest.mark.parametrize("path", [path for path in FILES if path.stat().st_size], ids=ids)
def test_what_is_public_is_documented(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    missing = [] if ast.get_docstring(tree) else ["the module"]
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            missing += undocumented(node, node.name)
    assert not missing


def undocumented(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, name: str) -> Iterator[str]:
    """Public names without a docstring; setters and what a class with bases overrides need none."""
    if node.name.startswith("_") or any(
        isinstance(one, ast.Attribute) and one.attr == "setter" for one in node.decorator_list
    ):
        return
    if not ast.get_docstring(node):
        yield name
    if isinstance(node, ast.ClassDef) and not node.bases:
        for member in node.body:
            if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from undocumented(member, f"{name}.{member.name}")


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_nothing_sleeps_to_wait_for_something(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert not any(alias.name == "sleep" for alias in node.names)
        if isinstance(node, ast.Attribute):
            assert node.attr != "sleep"


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_functions_and_classes_are_made_inside_others_only_where_that_happens_once(path: Path) -> None:
    nested = {
        f"{name_of(path)}:{outer.name}"
        for outer in functions(ast.parse(path.read_text(encoding="utf-8")))
        for inner in ast.walk(outer)
        if inner is not outer
        and isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda)
    }
    assert nested <= MADE_ONCE
