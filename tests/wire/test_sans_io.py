"""Nothing in ``siphon.wire`` does I/O or knows of threads."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import siphon.wire

FORBIDDEN = {
    "_socket",
    "_thread",
    "asyncio",
    "select",
    "selectors",
    "socket",
    "socketserver",
    "ssl",
    "threading",
}
MODULES = sorted(Path(siphon.wire.__file__).parent.glob("*.py"))


def imported(tree: ast.AST) -> Iterator[str]:
    """Every module that the code imports, wherever the import stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_the_modules_are_found() -> None:
    assert {"head.py", "http1.py", "proxy.py"} <= {path.name for path in MODULES}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_a_wire_module_imports_nothing_that_does_io(path: Path) -> None:
    names = set(imported(ast.parse(path.read_text(encoding="utf-8"))))
    assert not {
        name for name in names if name.split(".")[0] in FORBIDDEN or name.startswith("siphon.threads")
    }
